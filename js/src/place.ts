// Where the plot lies within the chart's element.
import { fractionOf } from "./format";
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
