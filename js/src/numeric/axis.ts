// The logarithmic axis of learning rates: its span, the place of a rate on it, and zooming.

export interface Span {
  low: number;
  high: number;
}

export function clampRate(lr: number, span: Span): number {
  return Math.min(Math.max(lr, span.low), span.high);
}

/** A rate from a pointer, rounded to the digits that a pointer can place; the ends of the axis stay exact. */
export function tidyRate(lr: number, span: Span): number {
  const inside = clampRate(lr, span);
  if (inside === span.low || inside === span.high) return inside;
  const decades = Math.log10(span.high / span.low);
  const digits = Math.min(3 + Math.max(0, Math.ceil(-Math.log10(decades))), 15);
  return clampRate(Number(inside.toPrecision(digits)), span);
}

/** Where a rate lies on the axis, from 0 at the low end to 1 at the high end. */
export function fractionOf(lr: number, span: Span): number {
  return Math.log(lr / span.low) / Math.log(span.high / span.low);
}

/** The rate at a fraction of the axis; the ends are exact. */
export function rateAt(fraction: number, span: Span): number {
  if (fraction <= 0) return span.low;
  if (fraction >= 1) return span.high;
  return span.low * (span.high / span.low) ** fraction;
}

/** The smallest span that contains all of these. */
export function union(spans: readonly Span[]): Span {
  return {
    low: Math.min(...spans.map(({ low }) => low)),
    high: Math.max(...spans.map(({ high }) => high)),
  };
}

/** The smallest ratio of the ends of a zoomed span. */
const MIN_RATIO = 1.05;

/** The part of a span between two rates; null if it is too narrow. */
export function partBetween(a: number, b: number, full: Span): Span | null {
  const low = clampRate(Math.min(a, b), full);
  const high = clampRate(Math.max(a, b), full);
  return high / low < MIN_RATIO ? null : { low, high };
}

/** A part of the span narrowed or widened by a factor around a rate, which keeps its place if possible. */
export function zoomed(part: Span, factor: number, around: number, full: Span): Span {
  const [from, to] = [fractionOf(part.low, full), fractionOf(part.high, full)];
  const minWidth = Math.log(MIN_RATIO) / Math.log(full.high / full.low);
  const width = Math.max((to - from) * factor, minWidth);
  // Returns the exact ends in spite of rounding.
  if (width > 1 - 1e-9) return full;
  const at = fractionOf(clampRate(around, part), part);
  const low = Math.min(Math.max(from + at * (to - from - width), 0), 1 - width);
  return { low: rateAt(low, full), high: rateAt(low + width, full) };
}
