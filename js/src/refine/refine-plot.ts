// The plot of a refinement: held-out and smoothed training loss of each trial over its steps, as SVG.
import { rungOf, trialColour } from "../chart/styles";
import { logTicks, lossTicks } from "../chart/ticks";
import { s, setAttribute, setClass } from "../dom";
import type { Range } from "../numeric/loss-range";
import { smoothed } from "../numeric/smoothing";
import type { Trial } from "../state/refinement";
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
  place,
  type Point,
  spreadLabels,
} from "../trials/curves";

export interface RefinePicture {
  trials: readonly Trial[];
  best: number | null;
  untrained: number | null;
  smoothing: number;
  /** Of the picture, in pixels. */
  width: number;
}

/** The steps of the shortest trials: the axis reaches at least that far. */
const LEAST_STEPS = 60;
/** The radius of a dot, in pixels. */
const DOT = 3.5;

export class RefinePlot {
  readonly el = s("svg", { role: "img", class: "lrw-trials", height: HEIGHT });

  draw({ trials, best, untrained, smoothing, width }: RefinePicture, summary: string): void {
    const frame = frameOf(width);
    const bottom = frame.top + frame.height;
    // Index 0 is before the first step.
    const steps = Math.max(LEAST_STEPS, ...trials.map(({ losses }) => losses.length)) + 1;
    const curves = trials.map(({ losses }) => smoothed(losses, smoothing));
    const measured = trials.map((trial) => heldOutOf(trial, untrained));
    const all = [
      ...measured.map((points) => Float64Array.from(points, ([, loss]) => loss)),
      ...curves,
    ];
    // Good rates often differ by little against the untrained loss, but by a factor.
    const log = all.every((curve) => curve.every((loss) => !(loss <= 0)));
    const scaled = (loss: number): number => (log ? Math.log10(loss) : loss);
    const training = curves.map((curve) => curve.map(scaled));
    const heldOut = measured.map((points) =>
      points.map(([step, loss]): [number, number] => [step, scaled(loss)]),
    );
    const range = curvesRange(all.map((curve) => curve.map(scaled)));
    setAttribute(this.el, "viewBox", `0 0 ${width} ${HEIGHT}`);
    setAttribute(this.el, "aria-label", summary);

    const drawn = training.some((curve) => curve.length > 0);
    const axes: TrialAxes = {
      range,
      lossName: log ? "loss (log)" : "loss",
      lossTicks: log ? logTicks(range) : lossTicks(range, 4),
      steps,
      stepTicks: [0, ...stepTicks(steps - 1, frame.width).slice(1)],
      first: 0,
    };

    // An inner svg clips to the frame, with room for the dots.
    const lines = s("svg", {
      role: "presentation",
      x: frame.left - DOT,
      y: frame.top - DOT,
      width: frame.width + 2 * DOT,
      height: frame.height + DOT,
    });
    const inside: Frame = { ...frame, left: DOT, top: DOT };
    const ends: { trial: number; at: Point }[] = [];
    trials.forEach((trial, i) => {
      const marks = [
        s("path", { class: "lrw-training", d: curvePath(training[i]!, steps, range, inside) }),
        ...linesOf(heldOut[i]!, trial.lr, steps, range, inside),
      ];
      lines.append(...marks.map((mark) => coloured(mark, trial.lr, trial.lr === best)));
      const at = endOf(heldOut[i]!, training[i]!, steps, range, frame);
      if (at) ends.push({ trial: i, at });
    });
    const wanted = ends.map(({ at }) => at);
    const heights = spreadLabels(wanted, MARGIN.right, frame.top + 6, bottom - 6);
    const labels = ends.map(({ trial, at }, i) => {
      const { lr } = trials[trial]!;
      const label = svgText(formatRate(lr), at.x + 9, heights[i]!, "start", "lrw-trial-label");
      return coloured(label, lr, lr === best);
    });
    this.el.replaceChildren(...axesOf(axes, frame, drawn), lines, ...labels);
  }
}

/** A sample of a trial's lines, for the table. */
export function sampleOf(lr: number): SVGElement {
  const marks = [
    s("path", { class: "lrw-trial", d: "M0 5H34", "stroke-dasharray": dash(lr) }),
    s("circle", { class: "lrw-trial-end", cx: 17, cy: 5, r: DOT }),
  ];
  const all = marks.map((mark) => coloured(mark, lr, false));
  return s("svg", { class: "lrw-trial-swatch", "aria-hidden": "true" }, ...all);
}

/** The held-out losses of a trial by step, from the untrained one on. */
function heldOutOf({ heldOut }: Trial, untrained: number | null): [number, number][] {
  const start: [number, number][] = untrained === null ? [] : [[0, untrained]];
  return heldOut.length
    ? [...start, ...heldOut.map(([n, loss]): [number, number] => [n, loss])]
    : [];
}

/** The line of the held-out losses, and a dot for each measurement. */
function linesOf(
  points: readonly [number, number][],
  lr: number,
  steps: number,
  range: Range,
  frame: Frame,
): SVGElement[] {
  const at = points.map(([step, loss]) => place(step, loss, steps, range, frame));
  const near = at.map(({ x, y }) => [x.toFixed(1), Math.max(y, -1e4).toFixed(1)] as const);
  const d = near.map(([x, y], i) => `${i ? "L" : "M"}${x} ${y}`).join("");
  return [
    s("path", { class: "lrw-trial", d, "stroke-dasharray": dash(lr) }),
    ...near.slice(1).map(([cx, cy]) => s("circle", { class: "lrw-trial-end", cx, cy, r: DOT })),
  ];
}

/** Where the label of a trial belongs: at its last held-out loss, before that at its training loss. */
function endOf(
  points: readonly [number, number][],
  training: Float64Array,
  steps: number,
  range: Range,
  frame: Frame,
): Point | null {
  const last = points.at(-1);
  if (!last) return curveEnd(training, steps, range, frame);
  const { x, y } = place(last[0], last[1], steps, range, frame);
  return { x, y: Math.min(Math.max(y, frame.top), frame.top + frame.height) };
}

/** The dashes of a trial; they differ also where colours come again. */
function dash(lr: number): string {
  const rung = rungOf(lr) + 600;
  return dashOf(rung + Math.floor(rung / 6));
}

function coloured<T extends SVGElement>(mark: T, lr: number, best: boolean): T {
  mark.style.setProperty("--lrw-trial", trialColour(lr));
  setClass(mark, "best", best);
  return mark;
}
