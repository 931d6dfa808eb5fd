import { readFileSync } from "node:fs";
import { describe, expect, it, vi } from "vitest";
import { Chart } from "../../src/chart/figure";
import type { RealModel } from "../../src/host";
import { PageModel } from "../../src/standin/events";
import { standInModel } from "../../src/standin/figure";
import { curvesOf, pathOf } from "../../src/standin/places";

interface FigureVector {
  marks: Record<string, "loss" | "upright">;
  axes: string[];
  margin: Record<string, number>;
  height: number;
}

const vector = JSON.parse(
  readFileSync(new URL("../../../tests/vectors/figure.json", import.meta.url), "utf8"),
) as FigureVector;

describe("the figure of a page without bqplot", () => {
  const figure = standInModel(NaN);
  const marks = figure.get("marks") as RealModel[];
  const axes = figure.get("axes") as RealModel[];
  const scales = (mark: RealModel): { x: RealModel; y: RealModel } =>
    mark.get("scales") as { x: RealModel; y: RealModel };

  it("has the kernel's marks in the kernel's order", () => {
    const labels = marks.map((mark) => (mark.get("labels") as string[])[0]);
    expect(labels).toEqual(Object.keys(vector.marks));
    expect(marks.filter((mark) => mark.get("enable_move"))).toEqual([marks.at(-1)]);
  });

  it("has the kernel's axes, margin and height", () => {
    expect(axes.map((axis) => axis.get("label"))).toEqual(vector.axes);
    expect(figure.get("fig_margin")).toEqual(vector.margin);
    expect(figure.get("height")).toBe(vector.height);
    expect(standInModel(240).get("height")).toBe(240);
  });

  it("moves with the loss axis only what has a loss", () => {
    for (const mark of marks) {
      const { x, y } = scales(mark);
      const [label] = mark.get("labels") as [string];
      expect(x).toBe(axes[0]!.get("scale"));
      expect(y === axes[1]!.get("scale")).toBe(vector.marks[label] === "loss");
    }
  });

  it("is filled by the chart", () => {
    const chart = new Chart(figure);
    chart.placeMarker(1e-3);
    expect(chart.mark("marker").get("x")).toEqual(Float64Array.of(1e-3));
  });
});

describe("the path of a mark", () => {
  const size = { width: 300, height: 100 };
  const scales = {
    x: new PageModel({ min: 1e-3, max: 1 }),
    y: new PageModel({ min: 1, max: 3 }),
  };
  const pathsOf = (x: unknown, y: unknown): string[] =>
    curvesOf(new PageModel({ x, y, scales }), size).map((points) => pathOf(points, size));
  const pathTo = (x: number[], y: number[]): string =>
    pathsOf(Float64Array.from(x), Float64Array.from(y)).join();

  it("has logarithmic rates from left to right and losses from bottom to top", () => {
    expect(pathTo([1e-3, 1e-2, 1], [1, 2, 3])).toBe("M0.0 100.0L100.0 50.0L300.0 0.0");
  });
  it("has a gap where there is no number", () => {
    expect(pathTo([1e-3, 1e-2, 1e-1, 1], [1, NaN, 3, 2])).toBe("M0.0 100.0M200.0 0.0L300.0 50.0");
    expect(pathTo([1e-3], [NaN])).toBe("");
    expect(pathTo([], [])).toBe("");
  });
  it("is one for each curve, which may have other rates", () => {
    const [first, second] = [Float64Array.of(1e-3, 1), Float64Array.of(1e-2, 1e-1, 1)];
    expect(pathsOf([first, second], [Float64Array.of(1, 3), Float64Array.of(2, 2, 2)])).toEqual([
      "M0.0 100.0L300.0 0.0",
      "M100.0 50.0L200.0 50.0L300.0 50.0",
    ]);
    expect(pathsOf([], [])).toEqual([]);
  });
  it("leaves the plot where the loss does, but not without bound", () => {
    expect(pathTo([1e-3, 1e-2], [5, 0])).toBe("M0.0 -100.0L100.0 150.0");
    expect(pathTo([1e-3, 1e-2], [1e30, -Infinity])).toBe("M0.0 -1000.0L100.0 1000.0");
  });
});

describe("a model of the page", () => {
  it("tells of each change once, and then that something has changed", () => {
    const model = new PageModel({ x: 1, y: 2, z: 3 });
    const heard: string[] = [];
    for (const event of ["change", "change:x", "change:y", "change:z"]) {
      model.on(event, () => heard.push(event));
    }
    model.set({ x: 5, y: 6, z: 3 });
    expect(heard).toEqual(["change:x", "change:y", "change"]);
    model.set({ x: 5 });
    expect(heard).toHaveLength(3);
    expect(model.get("x")).toBe(5);
  });
  it("has set all values before it tells of the first", () => {
    const model = new PageModel({ x: 1, y: 2 });
    let y: unknown = null;
    model.on("change:x", () => {
      y = model.get("y");
    });
    model.set({ x: 3, y: 4 });
    expect(y).toBe(4);
  });
  it("no longer tells a listener that has left, and still tells the others", () => {
    const model = new PageModel({ x: 1 });
    const [gone, partly, stays] = [vi.fn(), vi.fn(), vi.fn()];
    const [first, second] = [{}, {}];
    model.on("change:x", gone, first);
    model.on("change", gone, first);
    model.on("change:x", partly, second);
    model.on("change", stays, second);
    model.off(null, null, first);
    model.off("change:x", null, second);
    model.set({ x: 2 });
    expect([gone, partly, stays].map((each) => each.mock.calls.length)).toEqual([0, 0, 1]);
  });
});
