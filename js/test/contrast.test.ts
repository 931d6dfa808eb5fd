import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

/** The surface behind the lines, by theme. */
const SURFACES = ["#ffffff", "#111111"];
const styles = ["widget", "controls/legend", "check/check-panel"]
  .map((name) => readFileSync(new URL(`../src/${name}.css`, import.meta.url), "utf8"))
  .join("\n");

/** The light and the dark colour of a variable. */
function colours(variable: string): string[][] {
  const found = styles.matchAll(new RegExp(`${variable}: light-dark\\((#\\w+), (#\\w+)\\)`, "g"));
  return [...found].map(([, light, dark]) => [light!, dark!]);
}

/** Relative luminance as WCAG 2 defines it. */
function luminance(colour: string): number {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const part = parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
}

function contrast(one: string, other: string): number {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light! + 0.05) / (dark! + 0.05);
}

describe("the contrast to the surface, in both themes,", () => {
  it("is computed as WCAG defines it", () => {
    expect(contrast("#000000", "#ffffff")).toBeCloseTo(21, 10);
    expect(contrast("#777777", "#ffffff")).toBeCloseTo(4.478, 3);
  });
  it.each([
    ["the line of a run", "--lrw-run", 8, 4.5],
    ["the line of a trial", "--lrw-trial-\\d", 6, 4.5],
    ["the smoothed loss", "--lrw-line", 1, 4.5],
    ["the marker", "--lrw-marker", 1, 4.5],
    ["text", "--lrw-ink(?:-2)?", 2, 4.5],
    ["the raw loss, which is quiet,", "--lrw-raw", 1, 3],
  ])("of %s is sufficient", (_, variable, count, least) => {
    const found = colours(variable);
    expect(found.length).toBe(count);
    const low = found.flatMap((pair) =>
      pair.filter((colour, theme) => contrast(colour, SURFACES[theme]!) < least),
    );
    expect(low).toEqual([]);
  });
});
