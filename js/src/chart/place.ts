// Where the plot lies within the chart's element.
import { fractionOf, rateAt, type Span } from "../numeric/axis";

/** Edges of the x axis' range and of the plot, in pixels. */
export interface Place {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** How far to the right a rate lies. */
export function across(lr: number, span: Span, place: Place): number {
  return place.left + fractionOf(lr, span) * (place.right - place.left);
}

/** The rate at so many pixels from the left; beyond the ends of the axis the ends. */
export function rateOf(x: number, span: Span, { left, right }: Place): number {
  return rateAt((x - left) / (right - left), span);
}

/** Width of a slider's thumb as set in widget.css, in pixels. */
const THUMB = 16;

/** Puts a slider that stands for rates over the axis. */
export function placeTwin(twin: HTMLElement, { left, right, bottom }: Place): void {
  twin.style.left = `${left - THUMB / 2}px`;
  twin.style.width = `${right - left + THUMB}px`;
  twin.style.top = `${bottom - THUMB}px`;
}
