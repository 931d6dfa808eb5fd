// Which part of the rates is shown.
import { clampRate, fractionOf, rateAt } from "./format";
import type { Span } from "./thin";

/** The narrowest part worth showing, as the ratio of its ends. */
const NARROWEST = 1.05;

/** The part of the whole between two rates; null where it is too narrow to be meant. */
export function partBetween(a: number, b: number, whole: Span): Span | null {
  const low = clampRate(Math.min(a, b), whole);
  const high = clampRate(Math.max(a, b), whole);
  return high / low < NARROWEST ? null : { low, high };
}

/** The part narrowed or widened by a factor around a rate, which keeps its place in it if it can. */
export function scaled(part: Span, factor: number, around: number, whole: Span): Span {
  const [from, to] = [fractionOf(part.low, whole), fractionOf(part.high, whole)];
  const least = Math.log(NARROWEST) / Math.log(whole.high / whole.low);
  const width = Math.min(Math.max((to - from) * factor, least), 1);
  // All of it is exactly that, whatever the logarithms round.
  if (width > 1 - 1e-9) return whole;
  const at = fractionOf(clampRate(around, part), part);
  const low = Math.min(Math.max(from + at * (to - from - width), 0), 1 - width);
  return { low: rateAt(low, whole), high: rateAt(low + width, whole) };
}
