type Props<T extends keyof HTMLElementTagNameMap> = Omit<
  Partial<HTMLElementTagNameMap[T]>,
  "style"
> & { attributes?: never };

/** An element with its properties, attributes (aria-…, data-…, role) and children. */
export function h<T extends keyof HTMLElementTagNameMap>(
  tag: T,
  props: Props<T> | null,
  attributes: Record<string, string> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[T] {
  const element = document.createElement(tag);
  Object.assign(element, props);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Sets the text only where it differs: a live region speaks at every change. */
export function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element: Element, name: string, value: string): void {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** Listens to an element. */
export function on<T extends keyof HTMLElementEventMap>(
  element: HTMLElement,
  type: T,
  listener: (event: HTMLElementEventMap[T]) => void,
): void {
  element.addEventListener(type, listener);
}
