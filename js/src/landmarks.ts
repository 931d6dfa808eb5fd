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
  const regions: [Region["name"], number | null, number | null][] = [
    ["flat", flat && span.low, flat],
    ["falling", falls_at, minimum],
    ["exploding", explodes_at, explodes_at && span.high],
  ];
  return regions.flatMap(([name, from, to]): Region[] => {
    if (from === null || to === null) return [];
    const [low, high] = [clampRate(from, span), clampRate(to, span)];
    if (!(low < high)) return [];
    const meaning = name === "exploding" && falls_at === null ? CLIMBS : MEANINGS[name];
    return [{ name, low, high, meaning }];
  });
}

/** "2e-4 to 2e-2: the loss falls: …" */
export function describeRegion({ low, high, meaning }: Region): string {
  return `${formatRate(low)} to ${formatRate(high)}: ${meaning}`;
}
