// The place of the plot within the chart's element.
import { fractionOf, rateAt, type Span } from "../numeric/axis";

/** Edges of the x axis' range and of the plot, in pixels. */
export interface Place {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** The x coordinate of a rate, in pixels. */
export function across(lr: number, span: Span, place: Place): number {
  return place.left + fractionOf(lr, span) * (place.right - place.left);
}

/** The rate at an x coordinate, clamped to the ends of the axis. */
export function rateOf(x: number, span: Span, { left, right }: Place): number {
  return rateAt((x - left) / (right - left), span);
}

/** Width of a slider's thumb, in pixels. */
const THUMB = 16;

/** Lays a slider of rates over the axis, for the keyboard. */
export function placeTwin(twin: HTMLElement, { left, right, bottom }: Place): void {
  twin.style.left = `${left - THUMB / 2}px`;
  twin.style.width = `${right - left + THUMB}px`;
  twin.style.top = `${bottom - THUMB}px`;
}
