// The regions of the curve on the chart: shaded behind it, named above it.
import { dodged } from "./dodge";
import { h } from "./dom";
import { describeRegion, regionsOf, type Region } from "./landmarks";
import { clampRate } from "./format";
import { across, type Place } from "./place";
import type { Session } from "./session";

interface Shown {
  region: Region;
  shade: HTMLElement;
  name: HTMLElement;
}

export class Regions {
  /** Goes behind the figure. */
  readonly shades = h("div.shades", { "aria-hidden": "true" });
  /** Goes over the figure. */
  readonly names = h("div", { role: "list", "aria-label": "Regions of the curve" });
  private shown: Shown[] = [];
  private state = "";

  constructor(private readonly session: Session) {}

  update(place: Place | null): void {
    const { detail, span } = this.session;
    const regions = regionsOf(detail.landmarks, span);
    const now = JSON.stringify(regions);
    if (now !== this.state) {
      this.state = now;
      this.rebuild(regions);
    }
    this.shades.hidden = this.names.hidden = !place || regions.length === 0;
    if (place && regions.length > 0) this.arrange(place);
  }

  private rebuild(regions: Region[]): void {
    this.shown = regions.map((region): Shown => {
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
    this.shades.replaceChildren(...this.shown.map(({ shade }) => shade));
    this.names.replaceChildren(...this.shown.map(({ name }) => name));
  }

  private arrange(place: Place): void {
    const { shown } = this.session;
    const edges = this.shown.map(({ region }) =>
      [region.low, region.high].map((lr) => across(clampRate(lr, shown), shown, place)),
    );
    this.shown.forEach(({ shade, name }, i) => {
      shade.hidden = name.hidden = edges[i]![0] === edges[i]![1];
    });
    const widths = this.shown.map(({ name }) => name.offsetWidth);
    const wanted = edges.map(([from, to]) => (from! + to!) / 2);
    const middles = dodged(wanted, widths, place.left, place.right);
    this.shown.forEach(({ shade, name }, i) => {
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
