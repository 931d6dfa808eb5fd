// Where the plot lies within the chart's element.
import { fractionOf, rateAt } from "./format";
import type { Span } from "./thin";

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
