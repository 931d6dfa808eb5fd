// The three regions of a range test, from the landmarks that the suggestion was judged by.
import { clampRate, formatRate } from "./format";
import type { Landmarks } from "./protocol";
import type { Span } from "./thin";

export interface Region {
  name: "flat" | "falling" | "exploding";
  low: number;
  high: number;
  /** What it means, in a line. */
  meaning: string;
}

const MEANINGS: Record<Region["name"], string> = {
  flat: "too low a rate to learn anything in a sweep",
  falling: "the loss falls: the model learns",
  exploding: "at least half of what was won is lost again: too high a rate",
};
/** Where the loss never fell, nothing was won that could be lost. */
const CLIMBS = "the loss climbs out of its noise: too high a rate";

/** The regions there are, from low to high; a landmark that is null leaves its region away. */
export function regionsOf(landmarks: Landmarks | undefined, span: Span): Region[] {
  const { falls_at = null, minimum = null, explodes_at = null } = landmarks ?? {};
  const flat = falls_at ?? explodes_at;
  const regions: Region[] = [];
  const add = (name: Region["name"], from: number | null, to: number | null): void => {
    if (from === null || to === null) return;
    const low = clampRate(from, span);
    const high = clampRate(to, span);
    if (!(low < high)) return;
    const meaning = name === "exploding" && falls_at === null ? CLIMBS : MEANINGS[name];
    regions.push({ name, low, high, meaning });
  };
  add("flat", span.low, flat);
  add("falling", falls_at, minimum);
  add("exploding", explodes_at, span.high);
  return regions;
}

/** "2e-4 to 2e-2: the loss falls: …" */
export function describeRegion({ low, high, meaning }: Region): string {
  return `${formatRate(low)} to ${formatRate(high)}: ${meaning}`;
}
