// The chosen range of rates on the chart, with a slider for each end for the keyboard.
import { h, on, setAttribute, setClass } from "../dom";
import { clampRate, fractionOf, rateAt, type Span, tidyRate } from "../numeric/axis";
import type { Session } from "../state/session";
import { formatRate } from "../text/format";
import { strideOf } from "./keys";
import { across, type Place, placeTwin } from "./place";

type Range = readonly [number, number];

/** The range from which the keyboard starts if none is chosen: the decade below a rate. */
export function rangeBelow(lr: number | null, span: Span): Range {
  const high = lr ?? rateAt(0.5, span);
  const low = Math.max(high / 10, span.low);
  return low < high ? [low, high] : [low, rateAt(0.1, span)];
}

/** The range with one end moved by a fraction of the axis; unchanged if the ends would meet. */
export function movedEnd(range: Range, end: 0 | 1, by: number, shown: Span): Range {
  const at = rateAt(fractionOf(range[end], shown) + by, shown);
  const moved = Number.isFinite(by) ? tidyRate(at, shown) : at;
  const [low, high] = end === 0 ? [moved, range[1]] : [range[0], moved];
  return low < high ? [low, high] : range;
}

export class RangeBand {
  /** Lies behind the figure. */
  readonly shade = h(
    "div.range",
    { hidden: true, "aria-hidden": "true" },
    h("div.handle"),
    h("div.handle"),
  );
  readonly sliders: HTMLInputElement[];

  constructor(private readonly session: Session) {
    this.sliders = ([0, 1] as const).map((end) => {
      const slider = h("input.twin", {
        type: "range",
        min: "0",
        max: "1",
        step: "0.001",
        "aria-label": `Range of rates, ${["lower", "upper"][end]!} end`,
      });
      on(slider, "keydown", (event) => {
        const by = strideOf(event);
        if (by === null) return;
        event.preventDefault();
        this.move(end, by);
      });
      // Assistive technology sets the value without keys.
      on(slider, "input", () => {
        this.move(end, Number(slider.value) - fractionOf(this.range[end], session.visibleSpan));
      });
      return slider;
    });
  }

  update(place: Place | null): void {
    const { lrRange, visibleSpan } = this.session;
    const { mode } = this.session.view;
    const range = this.range;
    this.sliders.forEach((slider, end) => {
      slider.hidden = mode !== "range";
      slider.value = String(fractionOf(range[end]!, visibleSpan));
      const text = lrRange ? `learning rate ${formatRate(range[end]!)}` : "no range chosen";
      setAttribute(slider, "aria-valuetext", text);
      if (place) placeTwin(slider, place);
    });
    this.shade.hidden = !lrRange || !place;
    if (!lrRange || !place) return;
    const [from, to] = lrRange.map((lr) => across(clampRate(lr, visibleSpan), visibleSpan, place));
    const { top, bottom } = place;
    this.shade.style.cssText = `left:${from!}px;width:${to! - from!}px;top:${top}px;height:${bottom - top}px`;
    lrRange.forEach((lr, end) => {
      // An end outside of the visible span has no handle.
      setClass(this.shade, ["no-low", "no-high"][end]!, clampRate(lr, visibleSpan) !== lr);
    });
  }

  private get range(): Range {
    const { lrRange, lr, span } = this.session;
    return lrRange ?? rangeBelow(lr, span);
  }

  private move(end: 0 | 1, by: number): void {
    this.session.setRange(movedEnd(this.range, end, by, this.session.visibleSpan));
  }
}
