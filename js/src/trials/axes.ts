// The axes of a plot of trials: a loss over the steps of each trial, as SVG.
import { lossTicks, type Ticks } from "../chart/ticks";
import { s, setAttribute } from "../dom";
import type { Range } from "../numeric/loss-range";
import { type Frame, place } from "./curves";

export const HEIGHT = 210;
export const MARGIN = { left: 60, right: 64, top: 10, bottom: 40 };

export interface TrialAxes {
  range: Range;
  lossName: string;
  lossTicks: Ticks;
  /** The number of places along the axis of the steps. */
  steps: number;
  /** The steps that are named; `first` is the step at the first place. */
  stepTicks: readonly number[];
  first: number;
}

/** The grid, the ticks and the names of both axes; without a curve the losses have no ticks. */
export function axesOf(axes: TrialAxes, frame: Frame, drawn: boolean): Element[] {
  const { range, steps } = axes;
  const right = frame.left + frame.width;
  const bottom = frame.top + frame.height;
  const grid: Element[] = [];
  for (const loss of drawn ? axes.lossTicks.values : []) {
    const { y } = place(0, loss, steps, range, frame);
    grid.push(
      s("path", { class: "lrw-grid", d: `M${frame.left} ${y}H${right}` }),
      svgText(axes.lossTicks.labels[String(loss)] ?? "", frame.left - 8, y, "end"),
    );
  }
  for (const step of axes.stepTicks) {
    const { x } = place(step - axes.first, 0, steps, range, frame);
    grid.push(svgText(String(step), x, bottom + 12, "middle"));
  }
  return [
    ...grid,
    s("path", { class: "lrw-axis", d: `M${frame.left} ${frame.top}V${bottom}H${right}` }),
    svgText("step", frame.left + frame.width / 2, bottom + 29, "middle", "lrw-axis-name"),
    uprightText(axes.lossName, 14, frame.top + frame.height / 2),
  ];
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
