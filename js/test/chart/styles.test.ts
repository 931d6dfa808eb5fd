import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Chart } from "../../src/chart/figure";
import { MARK_STYLES } from "../../src/chart/styles";
import { PageModel } from "../../src/standin/events";

const sheet = readFileSync(new URL("../../src/widget.css", import.meta.url), "utf8");
const LABELS = ["other 0", "other 7", ...Object.keys(MARK_STYLES).filter((n) => n !== "other")];

describe("the styles of marks", () => {
  const marks = LABELS.map((label) => new PageModel({ labels: [label] }));
  const chart = new Chart(new PageModel({ marks, axes: [] }));

  it.each(LABELS)("are set on %s when the figure is opened", (label) => {
    const style = MARK_STYLES[label.replace(/ \d$/, "") as keyof typeof MARK_STYLES];
    expect(style).toBeDefined();
    for (const [name, value] of Object.entries(style)) {
      expect(chart.mark(label).get(name)).toEqual(value);
    }
  });

  it.each(Object.entries(MARK_STYLES))("give %s colours of the theme", (_, { colors }) => {
    const variable = /^var\((--[\w-]+)\)$/.exec((colors as string[])[0]!)?.[1];
    expect(sheet).toContain(`${variable}: light-dark(`);
  });
});
