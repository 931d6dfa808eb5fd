// The vectors of tests/vectors, which the Python package is tested with as well.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

/** A loss in a vector: JSON has no number for those that are not finite. */
export type VectorLoss = number | "NaN" | "Infinity" | "-Infinity";

interface SmoothingCase {
  name: string;
  beta: number;
  loss: VectorLoss[];
  expected: (number | null)[];
}

/** The cases of a file. */
export function casesOf<Case>(file: string): Case[] {
  const url = new URL(`../../tests/vectors/${file}`, import.meta.url);
  return (JSON.parse(readFileSync(url, "utf8")) as { cases: Case[] }).cases;
}

/** Tests a function of losses and beta with the cases of a file, to 1e-12. */
export function describeSmoothing(
  smooth: (loss: Float64Array, beta: number) => ArrayLike<number>,
  file: string,
): void {
  const cases = casesOf<SmoothingCase>(file);
  describe(smooth.name, () => {
    it.each(cases.map((c) => [`${c.name}, beta ${c.beta}`, c] as const))("agrees on %s", (_, c) => {
      const result = smooth(Float64Array.from(c.loss, Number), c.beta);
      expect(result).toHaveLength(c.expected.length);
      c.expected.forEach((value, i) => {
        if (value === null) expect(result[i]).toBeNaN();
        else
          expect(Math.abs(result[i]! - value)).toBeLessThanOrEqual(
            1e-12 * Math.max(1, Math.abs(value)),
          );
      });
    });
  });
}
