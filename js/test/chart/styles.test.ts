import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Chart } from "../../src/chart/figure";
import { MARK_STYLES, setRunStyle } from "../../src/chart/styles";
import { PageModel } from "../../src/standin/events";

const sheet = readFileSync(new URL("../../src/widget.css", import.meta.url), "utf8");
const LABELS = Object.keys(MARK_STYLES) as (keyof typeof MARK_STYLES)[];

describe("the styles of marks", () => {
  const marks = LABELS.map((label) => new PageModel({ labels: [label] }));
  const chart = new Chart(new PageModel({ marks, axes: [] }));

  it.each(LABELS)("are set on %s when the figure is opened", (label) => {
    for (const [name, value] of Object.entries(MARK_STYLES[label])) {
      expect(chart.mark(label).get(name)).toEqual(value);
    }
  });

  it.each(Object.entries(MARK_STYLES))("give %s colours of the theme", (_, { colors }) => {
    const variable = /^var\((--[\w-]+)\)$/.exec((colors as string[])[0]!)?.[1];
    expect(sheet).toContain(`${variable}: light-dark(`);
  });
});

describe("the style of an inactive run", () => {
  const legend = readFileSync(new URL("../../src/controls/legend.css", import.meta.url), "utf8");
  const looks = Array.from({ length: 64 }, (_, style) => {
    const attributes = new Map<string, string>();
    setRunStyle(
      {
        getAttribute: (name: string) => attributes.get(name) ?? null,
        setAttribute: (name: string, value: string) => attributes.set(name, value),
      } as unknown as Element,
      style,
    );
    return [...attributes].map(([name, value]) => `[${name}="${value}"]`);
  });

  it("is in the style sheet", () => {
    for (const selector of looks.flat()) expect(legend).toContain(`${selector} {`);
  });
  it("is another for each of 64 runs", () => {
    expect(new Set(looks.map(String)).size).toBe(64);
  });
  it("has its own colour and its own dashes among each eight that follow each other", () => {
    for (const eight of [looks.slice(0, 8), looks.slice(8, 16), looks.slice(56)]) {
      expect(new Set(eight.map(([colour]) => colour)).size).toBe(8);
      expect(new Set(eight.map(([, dashes]) => dashes)).size).toBe(8);
    }
  });
});
