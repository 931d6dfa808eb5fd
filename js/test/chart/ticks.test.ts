import { describe, expect, it } from "vitest";
import { logTicks, lossTicks, rateTicks } from "../../src/chart/ticks";

describe("rateTicks", () => {
  it("are labelled powers of ten", () => {
    const { values, labels } = rateTicks({ low: 1e-6, high: 1 });
    expect(values).toEqual([1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1]);
    expect(values.map((v) => labels[String(v)])).toEqual([
      "10⁻⁶",
      "10⁻⁵",
      "10⁻⁴",
      "10⁻³",
      "10⁻²",
      "10⁻¹",
      "10⁰",
    ]);
  });

  it("are fewer than the decades if there are many", () => {
    const { values } = rateTicks({ low: 1e-14, high: 10 });
    expect(values.length).toBeLessThanOrEqual(10);
    expect(values[1]! / values[0]!).toBeCloseTo(100, 6);
  });

  it.each([
    [2e-3, 9e-3, ["2·10⁻³", "5·10⁻³"]],
    [5e-4, 2e-3, ["5·10⁻⁴", "10⁻³", "2·10⁻³"]],
    [1.1e-3, 1.4e-3, ["1.1·10⁻³", "1.2·10⁻³", "1.3·10⁻³", "1.4·10⁻³"]],
    [1.27e-2, 1.74e-2, ["1.3·10⁻²", "1.5·10⁻²", "1.7·10⁻²"]],
    [1.0213e-3, 1.0729e-3, ["1.04·10⁻³", "1.06·10⁻³"]],
    [1.0004e-3, 1.0007e-3, ["1.0004·10⁻³", "1.0005·10⁻³", "1.0006·10⁻³", "1.0007·10⁻³"]],
  ])("are at least two between %d and %d", (low, high, expected) => {
    const { values, labels } = rateTicks({ low, high });
    expect(values.map((v) => labels[String(v)])).toEqual(expected);
  });
});

describe("lossTicks", () => {
  it("are round numbers with a label each", () => {
    const { values, labels } = lossTicks({ min: 0.37, max: 2.9 });
    expect(values).toEqual([0.5, 1, 1.5, 2, 2.5]);
    expect(Object.values(labels)).toEqual(expect.arrayContaining(["0.5", "1", "1.5", "2", "2.5"]));
  });

  it.each([
    [0, 1],
    [-1e300, 1e300],
    [1, 1 + 1e-9],
    [-3e-9, 4e-7],
    [2e5, 3e12],
  ])("are few, at least two, and inside %d to %d", (min, max) => {
    const { values } = lossTicks({ min, max });
    expect(values.length).toBeGreaterThanOrEqual(2);
    expect(values.length).toBeLessThanOrEqual(14);
    for (const value of values) {
      expect(value).toBeGreaterThanOrEqual(min - 1e-9 * (max - min));
      expect(value).toBeLessThanOrEqual(max + 1e-9 * (max - min));
    }
  });
});

describe("the labels of losses that hardly change", () => {
  it.each([
    [0.7, 0.7007, ["0.7", "0.7002", "0.7004", "0.7006"]],
    [1.2, 1.2029, ["1.2", "1.2005", "1.201", "1.2015", "1.202", "1.2025"]],
    [0.69999996, 0.7000002, ["0.7", "+5e-8", "+1e-7", "+1.5e-7", "+2e-7"]],
    [-3.00000005, -3, ["-3", "+1e-8", "+2e-8", "+3e-8", "+4e-8", "+5e-8"]],
  ])("tell its ticks apart between %d and %d", (min, max, expected) => {
    const { values, labels } = lossTicks({ min, max });
    expect(values.map((value) => labels[String(value)])).toEqual(expected);
  });

  it("tell them apart on a logarithmic axis", () => {
    const { values, labels } = logTicks({ min: Math.log10(0.7), max: Math.log10(0.7007) });
    const texts = values.map((place) => labels[String(place)]);
    expect(texts).toEqual(["0.7", "0.7002", "0.7004", "0.7006"]);
  });

  it.each([1e-9, 1e-7, 1e-5, 1e-3, 0.1])("are short, and all differ, over %d of it", (part) => {
    for (const loss of [0.7, 2.345678, 1e-4, 123.4, -2.3, 4.5e6]) {
      const { labels } = lossTicks({ min: loss, max: loss + part * Math.abs(loss) });
      const texts = Object.values(labels);
      expect(new Set(texts).size).toBe(texts.length);
      for (const text of texts) expect(text.length).toBeLessThanOrEqual(9);
    }
  });
});

describe("logTicks", () => {
  it.each([
    [-2.1, 1.2, ["0.01", "0.1", "1", "10"]],
    [-0.6, 0.4, ["0.5", "1", "2"]],
    [-0.05, 0.1, ["0.9", "1", "1.1", "1.2"]],
    [3.5, 7.5, ["10000", "1e5", "1e6", "1e7"]],
  ])("stand at round losses between 10^%d and 10^%d", (min, max, expected) => {
    const { values, labels } = logTicks({ min, max });
    expect(values.map((place) => labels[String(place)])).toEqual(expected);
    values.forEach((place, i) => {
      expect(10 ** place).toBeCloseTo(Number(expected[i]), 5);
    });
  });
  it.each([
    [-330, 300],
    [-330, -329],
    [0, 1e-9],
  ])("are few, at least two, from 10^%d to 10^%d", (min, max) => {
    const { values } = logTicks({ min, max });
    expect(values.length).toBeGreaterThanOrEqual(2);
    expect(values.length).toBeLessThanOrEqual(12);
  });
});
