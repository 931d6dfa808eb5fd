// Where the values of a mark lie in the plot.
import type { RealModel } from "../host";
import { fractionOf, type Span } from "../numeric/axis";

/** The area of the plot, in pixels. */
export interface Size {
  width: number;
  height: number;
}

export interface Point {
  x: number;
  y: number;
}

export interface Scales {
  x: RealModel;
  y: RealModel;
}

/** The ends of a scale. */
export function spanOf(scale: RealModel): Span {
  return { low: scale.get("min") as number, high: scale.get("max") as number };
}

export function xOf(rate: number, scale: RealModel, { width }: Size): number {
  return fractionOf(rate, spanOf(scale)) * width;
}

export function yOf(value: number, scale: RealModel, { height }: Size): number {
  const { low, high } = spanOf(scale);
  return (1 - (value - low) / (high - low)) * height;
}

type Values = ArrayLike<number>;

/** The values of each curve of a mark: several are in a list, and a typed array is those of one. */
function curvesIn(mark: RealModel, name: "x" | "y"): Values[] {
  const values = mark.get(name) as Values | Values[];
  return Array.isArray(values) ? values : [values];
}

/** The points of each curve of a mark; the y of a value that is not a number is NaN. */
export function curvesOf(mark: RealModel, size: Size): Point[][] {
  const { x, y } = mark.get("scales") as Scales;
  const values = curvesIn(mark, "y");
  return curvesIn(mark, "x").map((rates, curve) =>
    Array.from(rates, (rate, i) => ({
      x: xOf(rate, x, size),
      y: yOf(values[curve]![i]!, y, size),
    })),
  );
}

/** The `d` of a line through points, with gaps where they have no y. */
export function pathOf(points: readonly Point[], size: Size): string {
  // Renderers fail on coordinates as large as 1e30.
  const far = 10 * size.height;
  let pen = "M";
  let path = "";
  for (const { x, y } of points) {
    if (Number.isNaN(y)) pen = "M";
    else {
      path += `${pen}${x.toFixed(1)} ${Math.min(Math.max(y, -far), far).toFixed(1)}`;
      pen = "L";
    }
  }
  return path;
}
