import { describe, expect, it } from "vitest";
import { Centred, centred } from "../../src/numeric/centred";
import { describeSmoothing } from "../vectors";

describeSmoothing(centred, "centred.json");

describe("Centred", () => {
  const one = [3, 2.5, NaN, 2, 1, 0.9, 4];
  const two = [5, 4.5, 4.7, Infinity, 3];

  it("starts again with each sweep", () => {
    const both = new Centred(0.9).extend(Float64Array.of(...one, ...two), [0, one.length]);
    const each = [one, two].flatMap((sweep) => [...centred(Float64Array.from(sweep), 0.9)]);
    expect([...both]).toEqual(each);
  });

  it("gives the same line whether rows arrive at once or in parts", () => {
    const rows = Float64Array.of(...one, ...two);
    const line = new Centred(0.8);
    for (let end = 0; end <= rows.length; end++) {
      const starts = end > one.length ? [0, one.length] : [0];
      const now = [...line.extend(rows.subarray(0, end), starts)];
      expect(now).toEqual([...new Centred(0.8).extend(rows.subarray(0, end), starts)]);
    }
  });

  it("does not compute finished sweeps again", () => {
    const line = new Centred(0.9);
    const rows = Float64Array.of(...one, ...two);
    line.extend(rows.subarray(0, one.length), [0]);
    // Reading the first sweep again would change its line.
    rows.fill(1e6, 0, one.length);
    const now = line.extend(rows, [0, one.length]);
    expect(Math.max(...now.subarray(0, 2))).toBeLessThan(10);
  });

  it("takes linear time for 100,000 rows", () => {
    const rows = Float64Array.from({ length: 100_000 }, (_, i) => Math.sin(i / 1e4) + Math.sin(i));
    const before = performance.now();
    const drawn = new Centred(0.9).extend(rows, [0]);
    expect(performance.now() - before).toBeLessThan(2000);
    expect(Math.abs(drawn[31_416]!)).toBeLessThan(0.3);
  });
});
