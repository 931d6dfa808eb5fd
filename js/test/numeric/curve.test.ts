import { describe, expect, it } from "vitest";
import type { Span } from "../../src/numeric/axis";
import { Curve } from "../../src/numeric/curve";
import { RunTable } from "../../src/stream/rows";
import { below, seeded } from "../random";

interface View {
  beta: number;
  span: Span;
  width: number;
}

/** All lines of a run; copies, since a curve reuses its arrays. */
function all(curve: Curve, { beta, span, width }: View): unknown {
  const { range, maxLoss } = curve.autoRange;
  const { lr, low, median, high, count } = curve.quartiles(beta);
  return {
    range: { ...range },
    maxLoss,
    smoothed: [...curve.smoothed(beta)],
    quartiles: [lr, low, median, high, count].map((column) => [...column]),
    raw: curve.raw(span, width),
    line: curve.line(beta, span, width),
  };
}

/** The lines of a new curve of the same rows. */
function anew(table: RunTable, view: View): unknown {
  const copy = new RunTable(table.run);
  copy.addStarts(table.starts);
  copy.write(0, table.pairs());
  return all(new Curve(copy), view);
}

/** A run of several sweeps of the same ladder, some of which end early. */
function someRun(random: () => number): { pairs: Float64Array; starts: number[] } {
  const steps = 1 + below(random, random() < 0.3 ? 3000 : 60);
  const starts: number[] = [];
  const pairs: number[] = [];
  for (let sweep = 1 + below(random, 4); sweep > 0; sweep--) {
    starts.push(pairs.length / 2);
    const end = random() < 0.7 ? steps : 1 + below(random, steps);
    for (let i = 1; i <= end; i++) {
      const u = random();
      const spike = u < 0.02 ? Infinity : u < 0.04 ? NaN : u < 0.05 ? 1e9 * random() : 0;
      pairs.push(1e-6 * 1e6 ** (i / steps), spike + random() + (i / steps) ** 8);
    }
  }
  return { pairs: Float64Array.from(pairs), starts };
}

function someView(random: () => number): View {
  const low = random() < 0.7 ? 1e-6 : 1e-6 * 1e6 ** random();
  const high = random() < 0.7 ? 1 : low * (1 + 1e3 * random());
  return {
    beta: [0, 0.5, 0.9, 0.98][below(random, 4)]!,
    span: { low, high },
    width: 50 + below(random, 300),
  };
}

describe("Curve", () => {
  it.each(Array.from({ length: 80 }, (_, seed) => seed))(
    "equals a new curve while rows arrive late, repeatedly or not at all (seed %i)",
    (seed) => {
      const random = seeded(seed);
      const { pairs, starts } = someRun(random);
      const total = pairs.length / 2;
      const table = new RunTable(1);
      const curve = new Curve(table);
      let view = someView(random);
      const late: [number, number][] = [];
      const write = (from: number, to: number): void => {
        // In practice starts arrive with their rows, but nothing relies on that.
        if (random() < 0.9) table.addStarts(starts.filter((start) => from <= start && start <= to));
        table.write(from, pairs.subarray(2 * from, 2 * to));
      };
      for (let from = 0; from < total;) {
        const to = Math.min(total, from + 1 + below(random, random() < 0.2 ? 1000 : 40));
        if (random() < 0.15) late.push([from, to]);
        else write(from, to);
        from = to;
        if (late.length > 0 && random() < 0.2) write(...late.pop()!);
        if (random() < 0.1) view = someView(random);
        if (random() < 0.3) expect(all(curve, view)).toEqual(anew(table, view));
      }
      for (const [from, to] of late.reverse()) write(from, to);
      table.addStarts(starts);
      expect(table.missing).toBeNull();
      expect(all(curve, view)).toEqual(anew(table, view));
    },
  );

  it("is summed up by its line, and from the second sweep on by their median", () => {
    const table = new RunTable(1);
    const curve = new Curve(table);
    const summary = (): unknown => {
      const { x, y } = curve.summary(0, { low: 1e-3, high: 1 }, 100);
      return [[...x], [...y]];
    };
    table.write(0, Float64Array.of(1e-2, 2, 1e-1, 4));
    expect(summary()).toEqual([
      [1e-2, 1e-1],
      [2, 4],
    ]);
    table.addStarts([2]);
    table.write(2, Float64Array.of(1e-2, 4, 1e-1, 8));
    expect(summary()).toEqual([
      [1e-2, 1e-1],
      [3, 6],
    ]);
  });

  it("reads no row twice while rows are added, except for the smoothed line of the sweep", () => {
    const table = new RunTable(1);
    const curve = new Curve(table);
    const view = { beta: 0.9, span: { low: 1e-6, high: 1 }, width: 100 };
    const steps = 5000;
    let rows = 0;
    const add = (count: number): void => {
      const data = Float64Array.from({ length: 2 * count }, (_, i) =>
        i % 2 ? Math.sin(rows + i) : 1e-6 * 1e6 ** ((rows + i / 2 + 1) / steps),
      );
      table.write(rows, data);
      rows += count;
    };
    const draw = (): unknown => [curve.autoRange, curve.raw(view.span, view.width)];
    add(4000);
    draw();
    // Overwrites rows that the curve has read: reading them again would change the lines.
    table.loss.fill(1e6, 0, 3990);
    add(1000);
    const [, raw] = draw() as [unknown, { y: Float64Array }];
    expect(Math.max(...raw.y, curve.autoRange.maxLoss)).toBeLessThanOrEqual(1);
    expect(curve.autoRange.range.max).toBeLessThan(2);
  });
});
