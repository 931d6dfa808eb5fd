// The curves of trials, of a check or a refinement: loss over step, one curve for each rate.
import type { Range } from "../numeric/loss-range";
import { smoothed } from "../numeric/smoothing";

/** Where the plot lies within the picture, in pixels. */
export interface Frame {
  left: number;
  top: number;
  width: number;
  height: number;
}

export interface Point {
  x: number;
  y: number;
}

/** Height of a label, in pixels. */
export const LINE_HEIGHT = 15;

/** The smoothed losses of each trial; `starts` has an entry for each trial that has begun. */
export function trialCurves(
  loss: Float64Array,
  starts: readonly number[],
  beta: number,
): Float64Array[] {
  return starts.map((start, i) =>
    smoothed(loss.subarray(start, Math.max(start, starts[i + 1] ?? loss.length)), beta),
  );
}

/** How far the range reaches above the curve with the lowest maximum, in heights of that curve. */
const HEADROOM = 0.5;

/** A range that shows all of the curve with the lowest maximum, and the others as far as HEADROOM allows. */
export function curvesRange(curves: readonly Float64Array[]): Range {
  let low = Infinity;
  let high = -Infinity;
  let calmest = Infinity;
  for (const curve of curves) {
    let highest = -Infinity;
    for (const loss of curve) {
      if (!Number.isFinite(loss)) continue;
      low = Math.min(low, loss);
      highest = Math.max(highest, loss);
    }
    high = Math.max(high, highest);
    if (highest > -Infinity) calmest = Math.min(calmest, highest);
  }
  if (low > high) return { min: 0, max: 1 };
  const top = Math.min(high, calmest + HEADROOM * (calmest - low));
  // Keeps the ends finite and apart.
  const room = Math.max(0.06 * (top - low), Math.abs(top) * 1e-6, 1e-9);
  return { min: Math.max(low - room, -1e300), max: Math.min(top + room, 1e300) };
}

/** The place of a loss at an index from 0; outside of the frame if the loss is outside of the range. */
export function place(index: number, loss: number, steps: number, range: Range, to: Frame): Point {
  const along = steps > 1 ? index / (steps - 1) : 0;
  const up = (loss - range.min) / (range.max - range.min);
  return { x: to.left + along * to.width, y: to.top + (1 - up) * to.height };
}

/**
 * The `d` of a curve's path, with a gap at each loss that is not finite. It has at most one point per
 * pixel, and always the last point.
 */
export function curvePath(curve: Float64Array, steps: number, range: Range, to: Frame): string {
  const stride = Math.max(1, Math.ceil(steps / Math.max(to.width, 1)));
  const far = 10 * to.height;
  let path = "";
  let pen = "M";
  for (let i = 0; i < curve.length; i++) {
    if (i % stride !== 0 && i !== curve.length - 1) continue;
    const { x, y } = place(i, curve[i]!, steps, range, to);
    if (!Number.isFinite(y)) {
      pen = "M";
      continue;
    }
    // Renderers fail on coordinates as large as 1e30.
    const near = Math.min(Math.max(y, to.top - far), to.top + to.height + far);
    path += `${pen}${x.toFixed(1)} ${near.toFixed(1)}`;
    pen = "L";
  }
  return path;
}

/** The index of the last finite value; -1 if there is none. */
export function lastFinite(curve: Float64Array): number {
  let last = curve.length - 1;
  while (last >= 0 && !Number.isFinite(curve[last])) last--;
  return last;
}

/** The end of the visible part of a curve, within the frame; null if it has no finite value. */
export function curveEnd(
  curve: Float64Array,
  steps: number,
  range: Range,
  to: Frame,
): Point | null {
  let last = lastFinite(curve);
  if (last < 0) return null;
  // If the curve has left the frame for good: where it did.
  while (last > 0 && curve[last]! > range.max && !(curve[last - 1]! <= range.max)) last--;
  const { x, y } = place(last, curve[last]!, steps, range, to);
  return { x, y: Math.min(Math.max(y, to.top), to.top + to.height) };
}

/**
 * The y coordinates of labels at these points, moved apart where they would overlap. Labels are `width`
 * pixels wide and LINE_HEIGHT high, and stay between `top` and `bottom` if there is room.
 */
export function spreadLabels(
  wanted: readonly Point[],
  width: number,
  top: number,
  bottom: number,
): number[] {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a]!.y - wanted[b]!.y);
  const heights = wanted.map(({ y }) => y);
  const touching = (a: number, b: number): boolean => Math.abs(wanted[a]!.x - wanted[b]!.x) < width;
  order.forEach((label, n) => {
    heights[label] = Math.max(heights[label]!, top);
    for (const above of order.slice(0, n)) {
      if (touching(label, above))
        heights[label] = Math.max(heights[label], heights[above]! + LINE_HEIGHT);
    }
  });
  order.reverse().forEach((label, n) => {
    heights[label] = Math.min(heights[label]!, bottom);
    for (const below of order.slice(0, n)) {
      if (touching(label, below))
        heights[label] = Math.min(heights[label], heights[below]! - LINE_HEIGHT);
    }
  });
  return heights;
}

const DASHES = ["7 4", "", "2 3", "11 3 2 3", "16 4", "2 6"] as const;

/** The dashes of a trial's curve, which tell it apart without colour. */
export function dashOf(trial: number): string {
  return DASHES[trial % DASHES.length]!;
}
