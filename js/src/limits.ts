// The range of the loss axis for a limit that somebody chose, and the way a slider stands for such a
// limit. Clipping is a zoom; no row is dropped.

export interface Range {
  min: number;
  max: number;
}

/** The range to show for an upper limit that somebody chose; null stands for automatic. */
export function shownRange(auto: Range, limit: number | null): Range {
  if (limit === null || !Number.isFinite(limit)) return auto;
  if (limit > auto.min) return ordered(auto.min, limit);
  return ordered(limit - (auto.max - auto.min), limit);
}

/**
 * The range in powers of ten, on a logarithmic axis.
 *
 * @param least the smallest loss above zero
 * @param most the largest loss
 */
export function logRange({ max }: Range, least: number, most: number): Range {
  // A limit that leaves nothing to see on this axis counts as none.
  const top = Math.log10(Math.min(max > least ? max : Math.max(most, 2 * least), 1e300));
  const low = Math.log10(Math.max(least, 1e-300));
  return ordered(low - 0.05 * (top - low), top);
}

/** Finite and apart, also where doubles are so large or so close that arithmetic gives up. */
export function ordered(min: number, max: number): Range {
  const bound = 1e300;
  const low = Math.max(-bound, Math.min(min, bound));
  const high = Math.max(-bound, Math.min(max, bound));
  if (low < high) return { min: low, max: high };
  const step = Math.max(Math.abs(low) * 1e-9, 1e-9);
  return { min: low - step, max: low + step };
}

/**
 * What the slider can reach: from a sliver above the lowest loss to all that was seen, but not so far
 * into the explosion that the useful limits shrink to a corner of the slider.
 *
 * @param most the largest loss that was seen
 */
export function limitSpan(auto: Range, most: number): Range {
  const span = auto.max - auto.min;
  const top = Math.max(most, auto.min + 4 * span);
  return ordered(auto.min + 0.05 * span, Math.min(top, auto.min + 100 * span));
}

/** The limit at a slider position of 0 to 1: equal steps multiply the height above the lowest loss. */
export function limitAt(position: number, auto: Range, span: Range): number {
  const least = span.min - auto.min;
  const most = span.max - auto.min;
  return auto.min + least * (most / least) ** position;
}

/** The slider position of 0 to 1 that stands for a limit. */
export function positionOf(limit: number, auto: Range, span: Range): number {
  const least = span.min - auto.min;
  const most = span.max - auto.min;
  const position = Math.log((limit - auto.min) / least) / Math.log(most / least);
  return Number.isFinite(position) ? Math.min(Math.max(position, 0), 1) : 0;
}
