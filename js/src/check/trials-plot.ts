// The plot of a check: the smoothed loss of each rate over its steps, as SVG.
import { lossTicks } from "../chart/ticks";
import { s, setAttribute, setClass } from "../dom";
import { formatRate } from "../text/format";
import {
  axesOf,
  frameOf,
  HEIGHT,
  MARGIN,
  stepTicks,
  svgText,
  type TrialAxes,
} from "../trials/axes";
import {
  curveEnd,
  curvePath,
  curvesRange,
  dashOf,
  type Frame,
  type Point,
  spreadLabels,
} from "../trials/curves";

export interface TrialsPicture {
  curves: Float64Array[];
  lrs: readonly number[];
  best: number | null;
  /** Of each trial. */
  steps: number;
  /** Of the picture, in pixels. */
  width: number;
}

/** Further trials use the same colours again. */
const COLOURS = 6;

export class TrialsPlot {
  readonly el = s("svg", { role: "img", class: "lrw-trials", height: HEIGHT });

  draw({ curves, lrs, best, steps, width }: TrialsPicture, summary: string): void {
    const frame = frameOf(width);
    const range = curvesRange(curves);
    const bottom = frame.top + frame.height;
    setAttribute(this.el, "viewBox", `0 0 ${width} ${HEIGHT}`);
    setAttribute(this.el, "aria-label", summary);

    const drawn = curves.some((curve) => curve.length > 0);
    const axes: TrialAxes = {
      range,
      lossName: "smoothed loss",
      lossTicks: lossTicks(range, 4),
      steps,
      stepTicks: stepTicks(steps, frame.width),
      first: 1,
    };

    // An inner svg clips to the frame.
    const lines = s("svg", {
      role: "presentation",
      x: String(frame.left),
      y: String(frame.top - 2),
      width: String(frame.width),
      height: String(frame.height + 2),
    });
    const inside: Frame = { ...frame, left: 0, top: 2 };
    const ends: { trial: number; at: Point }[] = [];
    curves.forEach((curve, trial) => {
      const path = curve.length > 1 ? curvePath(curve, steps, range, inside) : "";
      lines.append(line(trial, path, lrs[trial] === best));
      const at = curveEnd(curve, steps, range, frame);
      if (at) ends.push({ trial, at });
    });
    const heights = spreadLabels(
      ends.map(({ at }) => at),
      MARGIN.right,
      frame.top + 6,
      bottom - 6,
    );
    const labels = ends.flatMap(({ trial, at }, i) => {
      const name = formatRate(lrs[trial]!);
      const label = svgText(name, at.x + 9, heights[i]!, "start", "lrw-trial-label");
      setClass(label, "best", lrs[trial] === best);
      const dot = { class: "lrw-trial-end", cx: at.x, cy: at.y, r: "3.5" };
      return [coloured(s("circle", dot), trial), coloured(label, trial)];
    });
    this.el.replaceChildren(...axesOf(axes, frame, drawn), lines, ...labels);
  }
}

/** A sample of a trial's line, for the table. */
export function swatch(trial: number): SVGElement {
  const shape = line(trial, "M0 5H34", false);
  return s("svg", { class: "lrw-trial-swatch", "aria-hidden": "true" }, shape);
}

function line(trial: number, d: string, best: boolean): SVGElement {
  const path = s("path", { class: "lrw-trial", d, "stroke-dasharray": dashOf(trial) });
  setClass(path, "best", best);
  return coloured(path, trial);
}

function coloured<T extends SVGElement>(element: T, trial: number): T {
  element.style.setProperty("--lrw-trial", `var(--lrw-trial-${trial % COLOURS})`);
  return element;
}
