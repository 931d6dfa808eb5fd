// The styles of the figure's marks. The kernel names and scales them (lrwidget/widget/figure.py);
// colours are variables of the style sheet, so that the page's theme decides.
import { setAttribute } from "../dom";

/** Widths of the smoothed line: by itself, and of the sweep in progress under the median. */
export const STRONG = 2.4;
export const QUIET = 1.2;
/** Opacity of the raw lines of several sweeps, which lie over each other. */
export const FAINT = 0.5;

/** The number of a rate on a ladder of half decades, which may begin at any quarter of a decade. */
export function rungOf(lr: number): number {
  return Math.floor(2 * Math.log10(lr) + 0.25);
}

/** The colour of a trial, by its rate alone, so that it stays; six neighbours differ. */
export function trialColour(lr: number): string {
  const hue = (((260 - 60 * rungOf(lr)) % 360) + 360) % 360;
  return `light-dark(oklch(48% 0.15 ${hue}), oklch(80% 0.12 ${hue}))`;
}

/** The colours and the patterns of dashes in controls/legend.css. */
const STYLES = 8;

/** Gives a line the style of an inactive run; of 64, no two share both colour and dashes. */
export function setRunStyle(line: Element, style: number): void {
  setAttribute(line, "data-style", String(style % STYLES));
  setAttribute(line, "data-dash", String((style + Math.floor(style / STYLES)) % STYLES));
}

/** A mark's label. */
export type MarkName =
  "others" | "band" | "raw loss" | "smoothed loss" | "median" | "suggestion" | "rule" | "marker";

/** Style attributes, by the names that bqplot gives them. */
export const MARK_STYLES: Readonly<Record<MarkName, Readonly<Record<string, unknown>>>> = {
  // Each curve has its own colour and dashes: see `setRunStyle`.
  others: { colors: ["var(--lrw-ink-2)"], stroke_width: 1.6 },
  band: {
    colors: ["var(--lrw-line)"],
    stroke_width: 0,
    fill: "inside",
    fill_opacities: [0.25],
  },
  "raw loss": { colors: ["var(--lrw-raw)"], stroke_width: 1.2 },
  "smoothed loss": { colors: ["var(--lrw-line)"], stroke_width: STRONG },
  median: { colors: ["var(--lrw-line)"], stroke_width: STRONG },
  suggestion: { colors: ["var(--lrw-suggestion)"], stroke_width: 2, line_style: "dotted" },
  rule: { colors: ["var(--lrw-marker)"], stroke_width: 1.5 },
  // It may stand out at the ends of the axis.
  marker: { colors: ["var(--lrw-marker)"], default_size: 240, apply_clip: false },
};
