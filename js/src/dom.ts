/** A tag and our classes without their prefix: "div.bar.view" is a div of the classes "lrw-bar lrw-view". */
type Selector = keyof HTMLElementTagNameMap | `${keyof HTMLElementTagNameMap}.${string}`;
type ElementOf<S extends Selector> = S extends keyof HTMLElementTagNameMap
  ? HTMLElementTagNameMap[S]
  : S extends `${infer T extends keyof HTMLElementTagNameMap}.${string}`
    ? HTMLElementTagNameMap[T]
    : never;

/** Properties by their names, and attributes: those with a hyphen, and the role. */
type Props<E> = Omit<Partial<E>, "style" | "className" | "role"> &
  Record<`aria-${string}` | `data-${string}`, string> & { role?: string };

/** An element with its classes, properties, attributes and children. */
export function h<S extends Selector>(
  selector: S,
  props?: Props<ElementOf<S>>,
  ...children: (Node | string)[]
): ElementOf<S> {
  const [tag, ...classes] = selector.split(".");
  const element = document.createElement(tag!) as ElementOf<S>;
  for (const name of classes) setClass(element, name, true);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (name === "role" || name.includes("-")) element.setAttribute(name, value as string);
    else (element as Record<string, unknown>)[name] = value;
  }
  element.append(...children);
  return element;
}

export type Attributes = Readonly<Record<string, string | number>>;

/** An element of SVG with its attributes and children. */
export function s<T extends keyof SVGElementTagNameMap>(
  tag: T,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): SVGElementTagNameMap[T] {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAttributes(element, attributes);
  element.append(...children);
  return element;
}

export function setAttributes(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
}

/** A button with its classes ("button.primary") and its text. */
export function button(
  classes: string,
  text = "",
  props?: Props<HTMLButtonElement>,
): HTMLButtonElement {
  const element = h(`button.${classes}`, props, text);
  // The default type, "submit", would send a form around the widget.
  element.type = "button";
  return element;
}

/** Sets the text only if it differs: a screen reader reads a live region at every change. */
export function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets the text of a field. Text that is selected as a whole stays so: what is typed next replaces it. */
export function setFieldText(field: HTMLInputElement, text: string): void {
  if (field.value === text) return;
  const { selectionStart, selectionEnd, value } = field;
  const selected = selectionStart === 0 && selectionEnd === value.length && value !== "";
  field.value = text;
  if (selected && document.activeElement === field) field.select();
}

export function setAttribute(element: Element, name: string, value: string): void {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** Adds or removes one of our classes ("bad" is "lrw-bad"). */
export function setClass(element: Element, name: string, has: boolean): void {
  element.classList.toggle(`lrw-${name}`, has);
}

/** A box of the page, seen from an element: from its corner, and in its pixels where the page is scaled. */
export function within(element: Element, { x, y, width, height }: DOMRect): DOMRect {
  const box = element.getBoundingClientRect();
  const scale = parseFloat(getComputedStyle(element).width) / box.width || 1;
  return new DOMRect((x - box.x) * scale, (y - box.y) * scale, width * scale, height * scale);
}

export function on<T extends keyof HTMLElementEventMap>(
  element: HTMLElement,
  type: T,
  listener: (event: HTMLElementEventMap[T]) => void,
): void {
  element.addEventListener(type, listener);
}
