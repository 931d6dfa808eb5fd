// Curves like those of real sweeps.
import { AutoRange } from "../src/numeric/loss-range";
import type { Range } from "../src/numeric/loss-range";
import { seeded } from "./random";

/** Flat at 2.3, a fall to 0.4, then an explosion: the shape of a range test. */
export function rangeTest(steps: number, explosion: number, noise = 0): Float64Array {
  const random = seeded(steps);
  return Float64Array.from({ length: steps }, (_, i) => {
    const t = i / steps;
    const fall = 1.9 / (1 + Math.exp(-25 * (t - 0.5)));
    return 2.3 - fall + (t > 0.85 ? explosion * (t - 0.85) : 0) + noise * (random() - 0.5);
  });
}

export function autoRange(loss: Float64Array, starts = [0]): Range {
  const auto = new AutoRange();
  auto.extend(loss, starts);
  return auto.range;
}
