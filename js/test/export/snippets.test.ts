import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { pythonRate, snippetsFor } from "../../src/export/snippets";
import type { OptimizerRecipe } from "../../src/stream/protocol";

/** The snippets that tests/widget/test_snippets.py runs with torch. */
interface Case {
  recipe: OptimizerRecipe | null;
  lr: number;
  range: [number, number] | null;
  snippets: Record<string, string>;
}

const vectors = new URL("../../../tests/vectors/snippets.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(vectors, "utf8")) as { cases: Case[] };

const adam = {
  name: "torch.optim.Adam",
  arguments: "weight_decay=0.01",
  momentum: "betas",
} as const;
const sgd = { name: "torch.optim.SGD", arguments: "", momentum: null } as const;

describe("pythonRate", () => {
  it.each([
    [1.2e-3, "1.2e-03"],
    [1e-10, "1e-10"],
    [0.12345, "1.23e-01"],
    [10, "1e+01"],
  ])("%d is %s", (lr, text) => {
    expect(pythonRate(lr)).toBe(text);
    expect(Number(text)).toBeCloseTo(lr, 3);
  });
});

describe("snippetsFor", () => {
  const code = (...given: Parameters<typeof snippetsFor>): Record<string, string> =>
    Object.fromEntries(snippetsFor(...given).map((snippet) => [snippet.name, snippet.code]));

  it.each(cases)("equals the snippets that were run: $recipe, $range", (c) => {
    expect(code(c.recipe, c.lr, c.range)).toEqual(c.snippets);
  });
  it("is empty if nothing is chosen", () => {
    expect(snippetsFor(adam, null, null)).toEqual([]);
  });
  it("constructs the optimizer of the sweep with the chosen rate", () => {
    expect(code(adam, 1.2e-3, null).optimizer).toBe(
      "optimizer = torch.optim.Adam(model.parameters(), lr=1.2e-03, weight_decay=0.01)",
    );
    expect(code(null, 1.2e-3, null).optimizer).toContain('group["lr"] = 1.2e-03');
  });
  it("sets the ends of the schedules to those of the range", () => {
    const { OneCycleLR, CyclicLR } = code(adam, 1e-2, [1e-4, 3e-3]);
    expect(OneCycleLR).toContain("max_lr=3e-03, div_factor=30");
    expect(CyclicLR).toContain("base_lr=1e-04, max_lr=3e-03");
    expect(Object.keys(code(adam, 1e-2, null))).toEqual(["optimizer", "OneCycleLR"]);
  });
  it("cycles no momentum if the optimizer has none", () => {
    const range = [1e-4, 3e-3] as const;
    expect(code(sgd, 1e-2, range).OneCycleLR).toContain("cycle_momentum=False");
    expect(code(sgd, 1e-2, range).CyclicLR).toContain("cycle_momentum=False");
    expect(code(adam, 1e-2, range).OneCycleLR).not.toContain("cycle_momentum");
    expect(code(adam, 1e-2, range).CyclicLR).toContain("cycle_momentum=False");
    const momentum = { ...sgd, momentum: "momentum" } as const;
    expect(code(momentum, 1e-2, range).CyclicLR).not.toContain("cycle_momentum");
  });
});
