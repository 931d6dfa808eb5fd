// The marks of the figure, each with a view that draws its model.
import { s, setAttribute } from "../dom";
import type { MarkView, RealModel } from "../host";
import { rateAt } from "../numeric/axis";
import { curvesOf, pathOf, type Scales, type Size, spanOf } from "./places";

export interface DrawnMark {
  view: MarkView;
  draw: () => void;
}

/** bqplot's dashes. */
const DASHES: Record<string, string> = { dotted: "2 10" };

/** Lines, or the areas that they enclose. */
export function linesOf(model: RealModel, size: Size): DrawnMark {
  const view = viewOf(model);
  const first = (name: string): unknown => (model.get(name) as unknown[] | undefined)?.[0];
  const draw = (): void => {
    const colour = String(first("colors"));
    const style = {
      stroke: colour,
      "stroke-width": model.get("stroke_width"),
      "stroke-dasharray": DASHES[model.get("line_style") as string] ?? "none",
      opacity: first("opacities") ?? 1,
      fill: model.get("fill") === "inside" ? colour : "none",
      "fill-opacity": first("fill_opacities") ?? 1,
      display: model.get("visible") === false ? "none" : "",
    };
    const curves = curvesOf(model, size);
    // The chart marks the elements of curves, so those that are there stay.
    while (view.el.childElementCount > curves.length) view.el.lastElementChild!.remove();
    curves.forEach((points, i) => {
      if (!view.el.children[i])
        view.el.append(s("g", { class: "curve" }, s("path", { class: "line" })));
      const path = view.el.children[i]!.firstElementChild as SVGPathElement;
      for (const [name, value] of Object.entries(style))
        path.style.setProperty(name, String(value));
      setAttribute(path, "d", pathOf(points, size));
    });
  };
  return { view, draw };
}

/** The handle, which is dragged along the x axis. */
export function handleOf(model: RealModel, size: Size): DrawnMark {
  const path = s("path");
  const handle = s("g", { class: "object_grp" }, path);
  const view = viewOf(model, handle);
  const draw = (): void => {
    const at = curvesOf(model, size)[0]?.[0];
    const radius = Math.sqrt((model.get("default_size") as number) / Math.PI);
    const half = `a${radius} ${radius} 0 0 0 `;
    path.style.fill = String((model.get("colors") as string[])[0]);
    setAttribute(path, "d", at ? `M${-radius} 0${half}${2 * radius} 0${half}${-2 * radius} 0` : "");
    if (at) setAttribute(handle, "transform", `translate(${at.x} ${at.y})`);
  };
  /** The x of a pointer in the pixels of the plot, which the page may scale. */
  const xOf = (event: PointerEvent): number => event.clientX / handle.getScreenCTM()!.a;
  /** The x of the handle where that of the pointer is 0. */
  let grip = 0;
  handle.addEventListener("pointerdown", (event) => {
    const at = curvesOf(model, size)[0]?.[0];
    if (!event.isPrimary || event.button !== 0 || !at) return;
    grip = at.x - xOf(event);
    handle.setPointerCapture(event.pointerId);
    view.send({ event: "drag_start" });
  });
  handle.addEventListener("pointermove", (event) => {
    if (!handle.hasPointerCapture(event.pointerId)) return;
    const { x } = model.get("scales") as Scales;
    model.set({ x: Float64Array.of(rateAt((xOf(event) + grip) / size.width, spanOf(x))) });
    view.send({ event: "drag" });
  });
  handle.addEventListener("lostpointercapture", () => {
    view.send({ event: "drag_end" });
  });
  return { view, draw };
}

function viewOf(model: RealModel, ...shapes: Element[]): MarkView {
  return { el: s("g", {}, ...shapes), model, send: () => undefined, touch: () => undefined };
}
