import { describe, expect, it } from "vitest";
import { Chart } from "../../src/chart/figure";
import type { RealModel } from "../../src/host";
import { standInModel } from "../../src/standin/figure";
import { Run } from "../../src/state/runs";
import { RunTable } from "../../src/stream/rows";
import { open } from "../state/fake-model";

const SPAN = { low: 1e-3, high: 1 };

/** What is drawn of a run with these losses, at a rate in each decade. */
function drawn(losses: number[]): { chart: Chart; axes: RealModel[] } {
  const figure = standInModel(NaN);
  const table = new RunTable(1);
  table.write(0, Float64Array.from(losses.flatMap((loss, i) => [10 ** (i - 3), loss])));
  const chart = new Chart(figure);
  const { traits } = open().session;
  const rest = { others: [], showRaw: true, suggestion: null, ended: false, columns: 100 };
  chart.draw({ table, span: SPAN, traits, ...rest });
  return { chart, axes: figure.get("axes") as RealModel[] };
}

describe("the raw line", () => {
  it.each([
    [[3, 2, 1], 3],
    [[3, 2, NaN], 2],
    [[3, NaN, NaN], 1],
    [[NaN, NaN, NaN], 0],
  ])("of the losses %o ends at its last loss", (losses, length) => {
    const line = drawn(losses).chart.mark("raw loss");
    expect(line.get("x")).toEqual(Float64Array.of(1e-3, 1e-2, 1e-1).slice(0, length));
    expect(line.get("y")).toEqual(Float64Array.from(losses).slice(0, length));
  });
});

it("another run without a loss that a logarithmic axis can show has no line", () => {
  const figure = standInModel(NaN);
  const chart = new Chart(figure);
  const [table, below] = [new RunTable(1), new RunTable(2)];
  table.write(0, Float64Array.of(1e-2, 2, 1e-1, 1));
  below.write(0, Float64Array.of(1e-2, -1, 1e-1, -2));
  const { traits } = open({ log_y: true, smoothing: 0 }).session;
  const rest = { showRaw: true, suggestion: null, ended: false, columns: 100 };
  chart.draw({ table, others: [new Run(2, below)], span: SPAN, traits, ...rest });
  expect(chart.mark("others").get("x")).toEqual([]);
  expect(chart.mark("raw loss").get("y")).toEqual(Float64Array.of(Math.log10(2), 0));
});

describe("the axes", () => {
  const { chart, axes } = drawn([3, 2, 1]);
  const [rates, losses] = axes.map((axis) => ({
    labels: axis.get("tick_labels") as Record<string, string>,
    values: axis.get("tick_values") as number[],
    scale: axis.get("scale") as RealModel,
  }));

  it("span the rates of the run and the range of its losses", () => {
    expect([rates!.scale.get("min"), rates!.scale.get("max")]).toEqual([SPAN.low, SPAN.high]);
    const ends = [losses!.scale.get("min"), losses!.scale.get("max")];
    expect(ends).toEqual([chart.range.min, chart.range.max]);
    expect(chart.range.max).toBeGreaterThan(3);
  });
  it("are labelled with powers of ten and with losses", () => {
    expect(rates!.values.map((value) => rates!.labels[value])).toEqual([
      "10⁻³",
      "10⁻²",
      "10⁻¹",
      "10⁰",
    ]);
    expect(losses!.values.map((value) => losses!.labels[value])).toContain("2");
  });
  it("of a plot without losses have no losses for labels", () => {
    const labels = drawn([]).axes[1]!.get("tick_labels") as Record<string, string>;
    expect(new Set(Object.values(labels))).toEqual(new Set([""]));
  });
});
