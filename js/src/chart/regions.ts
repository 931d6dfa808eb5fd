// The regions of the curve between its landmarks: shaded behind the figure, named above it.
import { h } from "../dom";
import { clampRate, type Span } from "../numeric/axis";
import { dodged } from "../numeric/dodge";
import type { Session } from "../state/session";
import type { Landmarks } from "../stream/protocol";
import { formatRate } from "../text/format";
import { across, type Place } from "./place";

export interface Region {
  name: "flat" | "falling" | "exploding";
  low: number;
  high: number;
  /** Its meaning, in one line. */
  meaning: string;
}

const MEANINGS: Record<Region["name"], string> = {
  flat: "too low a rate to learn anything in a sweep",
  falling: "the loss falls: the model learns",
  exploding: "at least half of what was won is lost again: too high a rate",
};
/** The meaning of "exploding" if the loss has never fallen. */
const CLIMBS = "the loss climbs out of its noise: too high a rate";

/** The regions from low to high; without its landmark a region is left out. */
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

interface RegionElements {
  region: Region;
  shade: HTMLElement;
  name: HTMLElement;
}

export class Regions {
  /** Lie behind the figure. */
  readonly shades = h("div.shades", { "aria-hidden": "true" });
  /** Lie over the figure. */
  readonly names = h("div", { role: "list", "aria-label": "Regions of the curve" });
  private regions: RegionElements[] = [];
  private shownRegions = "";

  constructor(private readonly session: Session) {}

  update(place: Place | null): void {
    const { detail, span } = this.session;
    const regions = regionsOf(detail.landmarks, span);
    const now = JSON.stringify(regions);
    if (now !== this.shownRegions) {
      this.shownRegions = now;
      this.rebuild(regions);
    }
    this.shades.hidden = this.names.hidden = !place || regions.length === 0;
    if (place) this.arrange(place);
  }

  private rebuild(regions: Region[]): void {
    this.regions = regions.map((region): RegionElements => {
      const meaning = describeRegion(region);
      return {
        region,
        shade: h("div.shade", { "data-region": region.name }),
        name: h(
          "div.region",
          { title: `${region.name}, ${meaning}`, role: "listitem", "data-region": region.name },
          h("span", {}, region.name),
          h("span.unseen", {}, `, ${meaning}`),
        ),
      };
    });
    this.shades.replaceChildren(...this.regions.map(({ shade }) => shade));
    this.names.replaceChildren(...this.regions.map(({ name }) => name));
  }

  private arrange(place: Place): void {
    const { visibleSpan } = this.session;
    const edges = this.regions.map(({ region }) =>
      [region.low, region.high].map((lr) => across(clampRate(lr, visibleSpan), visibleSpan, place)),
    );
    this.regions.forEach(({ shade, name }, i) => {
      shade.hidden = name.hidden = edges[i]![0] === edges[i]![1];
    });
    const widths = this.regions.map(({ name }) => name.offsetWidth);
    const wanted = edges.map(([from, to]) => (from! + to!) / 2);
    const middles = dodged(wanted, widths, place.left, place.right);
    this.regions.forEach(({ shade, name }, i) => {
      const [from, to] = edges[i]!;
      shade.style.left = `${from!}px`;
      shade.style.width = `${to! - from!}px`;
      shade.style.top = `${place.top}px`;
      shade.style.height = `${place.bottom - place.top}px`;
      name.style.left = `${middles[i]! - widths[i]! / 2}px`;
      name.style.bottom = `calc(100% - ${place.top}px)`;
    });
  }
}
