import { describe, expect, it } from "vitest";
import type { Chart } from "../../src/chart/figure";
import { describeRow, describeSweeps, hoveredRow, nearest } from "../../src/chart/hover";
import { Curve } from "../../src/numeric/curve";
import { Run } from "../../src/state/runs";
import type { Session } from "../../src/state/session";
import { RunTable } from "../../src/stream/rows";

describe("the text about a row", () => {
  const table = new RunTable(1);
  table.write(0, Float64Array.of(1e-3, 2.5, 2.34567e-3, 0.123456, 1e-2, Infinity));

  it("has its step, its rate, its raw and its smoothed loss", () => {
    expect(describeRow(table, Float64Array.of(2.5, 1.25, NaN), 1)).toEqual([
      "step 2",
      "lr 2.35e-3",
      "loss 0.1235",
      "smoothed 1.25",
    ]);
  });
  it("has no smoothed loss if there is none", () => {
    expect(describeRow(table, Float64Array.of(2.5, 1.25, NaN), 2)).toEqual([
      "step 3",
      "lr 1e-2",
      "loss infinite",
    ]);
  });
  it("has the median and quartiles of several sweeps where several have values", () => {
    const all = {
      lr: Float64Array.of(1e-3, 1e-2),
      low: Float64Array.of(1, 4),
      median: Float64Array.of(2, 4),
      high: Float64Array.of(3, 4),
      count: Float64Array.of(3, 1),
    };
    expect(describeSweeps(all, 0)).toEqual([
      "step 1",
      "lr 1e-3",
      "median of 3 2",
      "quartiles 1 to 3",
    ]);
    expect(describeSweeps(all, 1)).toEqual(["step 2", "lr 1e-2", "smoothed 4"]);
  });
});

describe("the nearest row", () => {
  it("is the nearest on the logarithmic axis", () => {
    const rates = Float64Array.of(1e-3, 1e-2, 1e-1);
    expect(nearest(rates, 4e-3)).toBe(1);
    expect(nearest(rates, 3e-3)).toBe(0);
    expect(nearest(rates, 9)).toBe(2);
  });
  it("is never a row that has not arrived", () => {
    expect(nearest(Float64Array.of(NaN, NaN, 1), 1e-5)).toBe(2);
  });
});

describe("the row under the pointer", () => {
  const place = { left: 0, right: 100, top: 0, bottom: 100 };
  const run = (number: number, label: string, loss: number): Run => {
    const made = new Run(number, new RunTable(number));
    made.label = label;
    made.table.write(0, Float64Array.of(1e-2, loss));
    return made;
  };
  const [active, other, empty] = [run(1, "first", 1), run(2, "second", 9), run(3, "third", NaN)];
  const at = (y: number, others: Run[], of = active): string[] | undefined => {
    const session = {
      runs: { active: of },
      others,
      visibleSpan: { low: 1e-4, high: 1 },
      traits: { smoothing: { value: 0 } },
    } as unknown as Session;
    const chart = {
      curveOf: (table: RunTable) => new Curve(table),
      range: { min: 0, max: 10 },
      heightOf: (loss: number) => loss,
    } as unknown as Chart;
    return hoveredRow(50, y, session, chart, place)?.lines;
  };

  it("is of the curve that is nearest in height, with the name of its run", () => {
    expect(at(55, [other])![0]).toBe("first");
    expect(at(45, [other])![0]).toBe("second");
    expect(at(0, [empty])![0]).toBe("first");
  });
  it("has no name while there is one run, and is none without rows", () => {
    expect(at(0, [])![0]).toBe("step 1");
    const without = new Run(4, new RunTable(4));
    expect(at(0, [without])![0]).toBe("first");
    expect(at(0, [], without)).toBeUndefined();
  });
});
