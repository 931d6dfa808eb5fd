import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { smoothed } from "../../src/numeric/smoothing";

interface Case {
  name: string;
  beta: number;
  loss: (number | "NaN" | "Infinity" | "-Infinity")[];
  expected: (number | null)[];
}

const vectors = new URL("../../../tests/vectors/smoothing.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(vectors, "utf8")) as { cases: Case[] };

describe("smoothed", () => {
  it.each(cases.map((c) => [`${c.name}, beta ${c.beta}`, c] as const))("agrees on %s", (_, c) => {
    const result = smoothed(Float64Array.from(c.loss, Number), c.beta);
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
