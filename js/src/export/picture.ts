// The chart as a self-contained SVG: no style sheet, no CSS variables, no external files.
import { type Attributes, s, setAttributes, within } from "../dom";
import { wrapped } from "./summary";

const MARGIN = 12;
const LINE = 18;
/** Properties that a style sheet may set, copied as attributes. */
const STYLES = ["stroke-width", "stroke-dasharray", "opacity", "fill-opacity", "stroke-opacity"];
const FONT = ["font-family", "font-size", "font-weight"];
const TEXT = ["text-anchor", "paint-order"];
const REMOVED = ["class", "style", "fill", "stroke", "opacity"];
/** Elements that only serve the mouse or the keyboard. */
const TRANSIENT = ".lrw-tip, .lrw-hairline, .lrw-brush, .lrw-unseen, .lrw-toolbar, input, canvas";

/** A picture of the chart with lines of text below it. */
export function pictureOf(chart: HTMLElement, lines: readonly string[]): SVGSVGElement {
  const seen: Lens = (box) => within(chart, box);
  const { width: room, height: below } = seen(chart.getBoundingClientRect());
  const style = getComputedStyle(chart);
  // As computed: the variable may hold a function, which a canvas does not know.
  const surface = paint("fill", getComputedStyle(chart.closest(".lrwidget")!).backgroundColor);
  // Made by `paint`.
  context!.font = style.font;
  const fits = (row: string): boolean => context!.measureText(row).width <= room;
  const rows = lines.flatMap((line) => wrapped(line, fits));
  const width = room + 2 * MARGIN;
  const height = below + LINE * rows.length + 2 * MARGIN;
  const root = s("g", { transform: `translate(${MARGIN} ${MARGIN})` });
  const picture = s(
    "svg",
    { width, height, viewBox: `0 0 ${width} ${height}` },
    s("rect", { width, height, ...surface }),
    root,
  );
  drawInto(root, chart, seen);
  rows.forEach((row, i) => {
    root.append(text(row, 0, below + LINE * (i + 0.5), style));
  });
  return picture;
}

/** The picture as PNG. */
export async function pngOf(picture: SVGSVGElement, scale = 2): Promise<Blob | null> {
  const image = new Image();
  image.src = `data:image/svg+xml,${encodeURIComponent(sourceOf(picture))}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = picture.width.baseVal.value * scale;
  canvas.height = picture.height.baseVal.value * scale;
  canvas.getContext("2d")!.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => {
    canvas.toBlob(resolve);
  });
}

export function sourceOf(picture: SVGSVGElement): string {
  return new XMLSerializer().serializeToString(picture);
}

/** A box of the page as seen from the chart. */
type Lens = (box: DOMRect) => DOMRect;

function drawInto(root: Element, element: Element, seen: Lens): void {
  const style = getComputedStyle(element);
  if (style.display === "none" || element.matches(TRANSIENT)) return;
  if (element instanceof SVGSVGElement) {
    const { left, top } = seen(element.getBoundingClientRect());
    const copies = [...element.children].flatMap((child) => copyOf(child) ?? []);
    root.append(s("g", { transform: `translate(${left} ${top})` }, ...copies));
    return;
  }
  drawBox(root, seen(element.getBoundingClientRect()), style);
  for (const node of element.childNodes) {
    if (node instanceof Element) drawInto(root, node, seen);
    else if (node.textContent?.trim()) {
      const range = document.createRange();
      range.selectNodeContents(node);
      const { left, top, height } = seen(range.getBoundingClientRect());
      root.append(text(node.textContent, left, top + height / 2, style));
    }
  }
}

/** The background and the borders of an element. Only the signs of the rules, squares, have all four. */
function drawBox(
  root: Element,
  { x, y, width, height }: DOMRect,
  style: CSSStyleDeclaration,
): void {
  const rx = parseFloat(style.borderRadius);
  const fill = paint("fill", style.backgroundColor);
  const border = parseFloat(style.borderBottomWidth);
  if (border) {
    // It may be turned, and then the box around it is larger.
    const size = parseFloat(style.width) - border;
    const turn = style.transform.replace("none", "");
    root.append(
      s("rect", {
        transform: `translate(${x + width / 2} ${y + height / 2}) ${turn}`,
        x: -size / 2,
        y: -size / 2,
        width: size,
        height: size,
        rx,
        ...fill,
        ...paint("stroke", style.color),
        "stroke-width": border,
      }),
    );
    return;
  }
  root.append(s("rect", { x, y, width, height, rx, ...fill }));
  const sides = {
    left: (by: number) => `M${x + by} ${y}v${height}`,
    right: (by: number) => `M${x + width - by} ${y}v${height}`,
    top: (by: number) => `M${x} ${y + by}h${width}`,
  };
  for (const [side, pathAt] of Object.entries(sides)) {
    const edge = (property: string): string => style.getPropertyValue(`border-${side}-${property}`);
    const thick = parseFloat(edge("width"));
    root.append(
      s("path", {
        d: pathAt(thick / 2),
        "stroke-width": thick,
        "stroke-dasharray": edge("style") === "dashed" ? 3 * thick : "none",
        ...paint("stroke", edge("color")),
      }),
    );
  }
}

/** A copy of an element that looks the same without style sheets; null if it is not visible. */
function copyOf(element: Element): Element | null {
  const style = getComputedStyle(element);
  // A clip path is needed although it is not displayed.
  if (style.display === "none" && !element.closest("defs, clipPath")) return null;
  const copy = element.cloneNode(false) as Element;
  for (const name of REMOVED) copy.removeAttribute(name);
  const styles = element.tagName === "text" ? [...STYLES, ...FONT, ...TEXT] : STYLES;
  for (const name of styles) copy.setAttribute(name, style.getPropertyValue(name));
  for (const name of ["fill", "stroke"] as const) {
    const own = Number(style.getPropertyValue(`${name}-opacity`) || 1);
    setAttributes(copy, paint(name, style.getPropertyValue(name), own));
  }
  for (const node of element.childNodes) {
    const child = node instanceof Element ? copyOf(node) : node.cloneNode();
    if (child) copy.append(child);
  }
  return copy;
}

function text(content: string, x: number, middle: number, style: CSSStyleDeclaration): Element {
  const y = middle + 0.35 * parseFloat(style.fontSize);
  const fonts = Object.fromEntries(FONT.map((name) => [name, style.getPropertyValue(name)]));
  return s("text", { x, y, ...fonts, ...paint("fill", style.color) }, content);
}

/** A CSS colour as rendered on a canvas. */
interface CanvasColor {
  rgb: string;
  opacity: number;
}

const colors = new Map<string, CanvasColor>();
let context: CanvasRenderingContext2D | null = null;

/** Any CSS colour as rgb() and opacity, which every SVG program knows: read back from a canvas. */
function paint(name: "fill" | "stroke", color: string, opacity = 1): Attributes {
  if (color === "none") return { [name]: color };
  let known = colors.get(color);
  if (!known) {
    context ??= document.createElement("canvas").getContext("2d", { willReadFrequently: true })!;
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = context.getImageData(0, 0, 1, 1).data;
    known = { rgb: `rgb(${red}, ${green}, ${blue})`, opacity: alpha! / 255 };
    colors.set(color, known);
  }
  return { [name]: known.rgb, [`${name}-opacity`]: known.opacity * opacity };
}
