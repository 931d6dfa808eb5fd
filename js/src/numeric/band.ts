// The area between two lines as a closed outline, which a bqplot line with `fill: "inside"` draws.
import { type Columns, type Points, decimated } from "./decimation";

/**
 * The outline of the band between two curves. Both have their gaps at the same places, where the band
 * is split.
 *
 * @param lr rates, ascending
 * @param low, high the edges of the band; NaN at a gap
 * @param columns the pixel columns of the rates
 */
export function outline(
  lr: Float64Array,
  low: Float64Array,
  high: Float64Array,
  columns: Columns,
): Points {
  const upper = pieces(decimated(lr, high, columns));
  const lower = pieces(decimated(lr, low, columns));
  const x: number[] = [];
  const y: number[] = [];
  upper.forEach((there, i) => {
    const back = [...(lower[i] ?? [])].reverse();
    // Each piece of the path is closed by itself.
    const path = [...there, ...back, there[0]!];
    if (i > 0) {
      // The break needs a positive rate, or the logarithm is not finite.
      x.push(path[0]!.rate);
      y.push(NaN);
    }
    for (const { rate, value } of path) {
      x.push(rate);
      y.push(value);
    }
  });
  return { x: Float64Array.from(x), y: Float64Array.from(y) };
}

interface Point {
  rate: number;
  value: number;
}

/** The points between the gaps. */
function pieces({ x, y }: Points): Point[][] {
  const result: Point[][] = [];
  let open = false;
  y.forEach((value, i) => {
    const gap = Number.isNaN(value);
    if (!gap && !open) result.push([]);
    if (!gap) result[result.length - 1]!.push({ rate: x[i]!, value });
    open = !gap;
  });
  return result;
}
