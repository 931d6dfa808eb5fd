// What the rules say, as the chart shows it: names, rates, and what each rule means.
import { formatRate } from "./format";
import type { Span } from "./thin";

/** The rule that the suggestion and the marker follow. */
export const DEFAULT_RULE = "auto";

export interface Rule {
  name: string;
  lr: number;
  /** Whether the rate lies in the sweep, where alone it can be chosen. */
  inside: boolean;
  /** What there is to know of it, a line each. */
  meaning: string;
}

const MEANINGS: Record<string, string> = {
  [DEFAULT_RULE]: "the default: well below where the loss climbs",
  "minimum/10": "a tenth of the rate at the lowest loss (luz, fastai)",
  steepest: "where the loss falls fastest (torch-lr-finder)",
  valley: "in the middle of the longest fall (fastai)",
  slide: "left of a window that slides down from the explosion (fastai)",
};

/** The rules that have a rate, by rate; the default comes first among equals. */
export function rulesOf(
  suggestions: Record<string, number | null> | undefined,
  span: Span,
): Rule[] {
  const rules: Rule[] = [];
  for (const [name, lr] of Object.entries(suggestions ?? {})) {
    if (lr === null || !(lr > 0 && lr < Infinity)) continue;
    const inside = lr >= span.low && lr <= span.high;
    const place = lr < span.low ? "below" : "above";
    const meaning = MEANINGS[name] ?? "";
    const outside = `it lies ${place} the sweep`;
    rules.push({
      name,
      lr,
      inside,
      meaning: inside ? meaning : [meaning, outside].filter(Boolean).join("\n"),
    });
  }
  return rules.sort((a, b) => a.lr - b.lr || rank(a) - rank(b));
}

/** "minimum/10: 1.2e-2" */
export function nameOf({ name, lr }: Rule): string {
  return `${name}: ${formatRate(lr)}`;
}

function rank({ name }: Rule): number {
  return name === DEFAULT_RULE ? 0 : 1;
}
