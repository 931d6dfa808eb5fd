// The plot of a check: the smoothed loss of each rate over its steps, as SVG.
import { lossTicks } from "../chart/ticks";
import { s, setAttribute, setClass } from "../dom";
import { formatRate } from "../text/format";
import {
  curveEnd,
  curvePath,
  curvesRange,
  dashOf,
  type Frame,
  place,
  type Point,
  spreadLabels,
} from "./trials";

export interface TrialsPicture {
  curves: Float64Array[];
  lrs: readonly number[];
  best: number | null;
  /** Of each trial. */
  steps: number;
  /** Of the picture, in pixels. */
  width: number;
}

export const HEIGHT = 210;
export const MARGIN = { left: 60, right: 64, top: 10, bottom: 40 };
/** Further trials use the same colours again. */
const COLOURS = 6;

export class TrialsPlot {
  readonly el = s("svg", { role: "img", class: "lrw-trials", height: HEIGHT });

  draw({ curves, lrs, best, steps, width }: TrialsPicture, summary: string): void {
    const frame = frameOf(width);
    const range = curvesRange(curves);
    const right = frame.left + frame.width;
    const bottom = frame.top + frame.height;
    setAttribute(this.el, "viewBox", `0 0 ${width} ${HEIGHT}`);
    setAttribute(this.el, "aria-label", summary);

    const grid: Element[] = [];
    const drawn = curves.some((curve) => curve.length > 0);
    const ticks = lossTicks(range, 4);
    for (const loss of drawn ? ticks.values : []) {
      const { y } = place(0, loss, steps, range, frame);
      grid.push(
        s("path", { class: "lrw-grid", d: `M${frame.left} ${y}H${right}` }),
        svgText(ticks.labels[String(loss)] ?? "", frame.left - 8, y, "end"),
      );
    }
    for (const step of stepTicks(steps, frame.width)) {
      const { x } = place(step - 1, 0, steps, range, frame);
      grid.push(svgText(String(step), x, bottom + 12, "middle"));
    }
    grid.push(
      s("path", { class: "lrw-axis", d: `M${frame.left} ${frame.top}V${bottom}H${right}` }),
      svgText("step", frame.left + frame.width / 2, bottom + 29, "middle", "lrw-axis-name"),
      uprightText("smoothed loss", 14, frame.top + frame.height / 2),
    );

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
    this.el.replaceChildren(...grid, lines, ...labels);
  }
}

/** The frame of a plot of this width, in pixels. */
export function frameOf(width: number): Frame {
  return {
    left: MARGIN.left,
    top: MARGIN.top,
    width: Math.max(width - MARGIN.left - MARGIN.right, 50),
    height: HEIGHT - MARGIN.top - MARGIN.bottom,
  };
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

/** The first and the last step, and round numbers between. */
export function stepTicks(steps: number, width: number): number[] {
  const between = lossTicks({ min: 0, max: steps }, Math.max(2, Math.floor(width / 90))).values;
  const apart = (steps / width) * 40;
  const whole = between.filter(
    (step) => Number.isInteger(step) && step - 1 > apart && steps - step > apart,
  );
  return steps > 1 ? [1, ...whole, steps] : [1];
}

export function svgText(
  content: string,
  x: number,
  y: number,
  anchor: "start" | "middle" | "end",
  name = "lrw-tick",
): SVGElement {
  return s(
    "text",
    {
      class: name,
      x: x.toFixed(1),
      y: y.toFixed(1),
      "text-anchor": anchor,
      "dominant-baseline": "central",
    },
    content,
  );
}

export function uprightText(content: string, x: number, y: number): SVGElement {
  const el = svgText(content, x, y, "middle", "lrw-axis-name");
  setAttribute(el, "transform", `rotate(-90 ${x} ${y})`);
  return el;
}
