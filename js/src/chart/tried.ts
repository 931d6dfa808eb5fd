// The rates that a refinement has tried, as marks over the axis: in hand a ring, diverged a cross.
import { s, setClass } from "../dom";
import { clampRate } from "../numeric/axis";
import type { Session } from "../state/session";
import { across, type Place } from "./place";
import { trialColour } from "./styles";

/** Height of the marks above the axis, over the feet of the rules; their radii, in pixels. */
const ABOVE = 17;
const RADIUS = 4.5;
const BEST_RADIUS = 6.5;

export class TriedRates {
  /** Lies over the figure; the panel of the refinement says the same in a table. */
  readonly el = s("svg", { class: "lrw-tried", "aria-hidden": "true" });

  constructor(private readonly session: Session) {}

  update(place: Place | null): void {
    const { refinement, visibleSpan, runs } = this.session;
    const shown = place && this.session.refines(runs.active) ? refinement.trials : [];
    const marks = shown.flatMap(({ lr, stopReason }) => {
      if (!place || clampRate(lr, visibleSpan) !== lr) return [];
      const [x, y] = [across(lr, visibleSpan, place), place.bottom - ABOVE];
      const best = lr === refinement.detail.best;
      const broken = stopReason !== null && stopReason !== "finished" && stopReason !== "stopped";
      const d = `M${x - 4} ${y - 4}l8 8M${x - 4} ${y + 4}l8 -8`;
      const mark = broken
        ? s("path", { d })
        : s("circle", { cx: x, cy: y, r: best ? BEST_RADIUS : RADIUS });
      setClass(mark, "now", stopReason === null && refinement.underWay);
      mark.style.setProperty("--lrw-trial", trialColour(lr));
      return [mark];
    });
    this.el.replaceChildren(...marks);
  }
}
