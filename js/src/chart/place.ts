// The place of the plot within the chart's element.
import { within } from "../dom";
import { fractionOf, rateAt, type Span } from "../numeric/axis";

/** Edges of the x axis' range and of the plot, in pixels. */
export interface Place {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** Where a pointer is, seen from an element. */
export function pointIn(element: Element, { clientX, clientY }: PointerEvent): DOMRect {
  return within(element, new DOMRect(clientX, clientY));
}

/** Whether a point is over the plot, or only just beside it. */
export function isOver(
  { left, right, top, bottom }: Place,
  { x, y }: { x: number; y: number },
  beside = 4,
): boolean {
  return x >= left - beside && x <= right + beside && y >= top && y <= bottom;
}

/** The x coordinate of a rate, in pixels. */
export function across(lr: number, span: Span, place: Place): number {
  return place.left + fractionOf(lr, span) * (place.right - place.left);
}

/** The rate at an x coordinate, clamped to the ends of the axis. */
export function rateOf(x: number, span: Span, { left, right }: Place): number {
  return rateAt((x - left) / (right - left), span);
}

/** The left edge of a box of this width, moved so that it is within the room. */
export function inside(left: number, width: number, room: number): number {
  return Math.max(Math.min(left, room - width), 0);
}

/** Width of a slider's thumb, in pixels. */
const THUMB = 16;

/** Lays a slider of rates over the axis, for the keyboard. */
export function placeTwin(twin: HTMLElement, { left, right, bottom }: Place): void {
  twin.style.left = `${left - THUMB / 2}px`;
  twin.style.width = `${right - left + THUMB}px`;
  twin.style.top = `${bottom - THUMB}px`;
}
