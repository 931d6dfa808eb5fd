import { describe, expect, it } from "vitest";
import { nameOf, rulesOf } from "../../src/chart/rules";

const SPAN = { low: 1e-6, high: 1 };

describe("rulesOf", () => {
  it("is in the order of the rates, the default first among equals", () => {
    const said = { auto: 1e-3, "minimum/10": 1e-2, valley: 1e-4, slide: 1e-3 };
    const names = rulesOf(said, SPAN).map(({ name }) => name);
    expect(names).toEqual(["valley", "auto", "slide", "minimum/10"]);
  });

  it("omits rules without a valid rate", () => {
    expect(rulesOf({ auto: null, valley: 0, slide: NaN, steepest: Infinity }, SPAN)).toEqual([]);
    expect(rulesOf(undefined, SPAN)).toEqual([]);
  });

  it("says that a rate outside of the sweep cannot be chosen", () => {
    const rules = rulesOf({ auto: 1e-3, "minimum/10": 1e-7, other: 5 }, SPAN);
    expect(rules.map(({ inside }) => inside)).toEqual([false, true, false]);
    expect(rules[0]!.meaning).toMatch(/\nit lies below the sweep$/);
    expect(rules[2]!.meaning).toBe("it lies above the sweep");
  });
});

describe("nameOf", () => {
  it("contains name and rate", () => {
    const [rule] = rulesOf({ "minimum/10": 0.0123 }, SPAN);
    expect(nameOf(rule!)).toBe("minimum/10: 1.2e-2");
  });
});
