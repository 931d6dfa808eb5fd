// Puts the picture into bqplot's models, which draw it in every view. Only this file knows them.
// Models are set without save_changes: what is drawn never depends on the kernel, nor troubles it.
import type { RealModel } from "./host";
import { AutoRange } from "./autorange";
import { outline } from "./band";
import { Curve } from "./curve";
import { clampRate } from "./format";
import { shownRange, type Range } from "./limits";
import type { Quartiles } from "./quartiles";
import type { RunTable } from "./store";
import { Columns, thinned, type Span } from "./thin";
import { lossTicks, rateTicks, type Ticks } from "./ticks";

/** What is to be seen. */
export interface Picture {
  table: RunTable | null;
  /** The rates at the ends of the x axis. */
  span: Span;
  smoothing: number;
  showRaw: boolean;
  /** Upper end of the loss axis; null is automatic. */
  limit: number | null;
  lr: number | null;
  suggestion: number | null;
  /** Whether the run has ended: then no sweep is in progress. */
  ended: boolean;
  /** Width of the widest view's plot in pixels. */
  columns: number;
}

const NOTHING = new Float64Array(0);
const NO_POINTS = { x: NOTHING, y: NOTHING };
/** Widths of the smoothed line: by itself, and of the sweep in progress under the median. */
const STRONG = 2.4;
const QUIET = 1.2;
/** The raw lines of several sweeps lie over each other. */
const FAINT = 0.5;

/** Runs an effect only when one of its reasons has changed. */
class Memo {
  private reasons: readonly unknown[] = [NaN];

  when(reasons: readonly unknown[], effect: () => void): void {
    const same =
      reasons.length === this.reasons.length &&
      reasons.every((reason, i) => Object.is(reason, this.reasons[i]));
    if (same) return;
    this.reasons = reasons;
    effect();
  }
}

export class Chart {
  /** What the loss axis should show by itself, and the largest loss. */
  limits = new AutoRange();
  /** The smoothed loss of every row. */
  smoothed: Float64Array = NOTHING;
  /** The sweeps as one curve; null where there are not several. */
  quartiles: Quartiles | null = null;
  private curve: Curve | null = null;
  private readonly marks: Map<string, RealModel>;
  private readonly axes: RealModel[];
  private readonly memos = {
    auto: new Memo(),
    raw: new Memo(),
    smoothed: new Memo(),
    span: new Memo(),
    limit: new Memo(),
    visible: new Memo(),
    marker: new Memo(),
    suggestion: new Memo(),
  };

  constructor(figure: RealModel) {
    const marks = figure.get("marks") as RealModel[];
    this.marks = new Map(marks.map((mark) => [(mark.get("labels") as string[])[0] ?? "", mark]));
    this.axes = figure.get("axes") as RealModel[];
  }

  /** A mark's model by its name in chart.py. */
  mark(name: string): RealModel {
    const mark = this.marks.get(name);
    if (!mark) throw new Error(`the figure has no mark "${name}"`);
    return mark;
  }

  draw(picture: Picture): void {
    const { table, span, smoothing, showRaw, limit, lr, suggestion, ended, columns } = picture;
    const { memos } = this;
    if (table !== (this.curve?.table ?? null)) this.curve = table && new Curve(table);
    const { curve } = this;
    const rows = [table, table?.revision];
    const drawn = Boolean(table?.length);
    memos.span.when([span.low, span.high], () => {
      this.setSpan(span);
    });
    memos.auto.when(rows, () => {
      this.limits = curve?.limits ?? new AutoRange();
    });
    const range = shownRange(this.limits.range, limit);
    memos.limit.when([range.min, range.max, drawn], () => {
      this.setRange(range, drawn);
    });
    memos.raw.when([...rows, span.low, span.high, columns], () => {
      const opacities = [table && table.sweeps > 1 ? FAINT : 1];
      const points = curve?.raw(span, columns) ?? NO_POINTS;
      this.mark("raw loss").set({ ...points, opacities });
    });
    memos.smoothed.when([...rows, span.low, span.high, columns, smoothing, ended], () => {
      this.smoothed = curve?.smoothed(smoothing) ?? NOTHING;
      const several = curve !== null && curve.table.sweeps > 1;
      this.quartiles = several ? curve.quartiles(smoothing) : null;
      // The sweep in progress; by itself, or below what all of them come to.
      const points = several && ended ? NO_POINTS : curve?.line(smoothing, span, columns);
      const stroke_width = several ? QUIET : STRONG;
      this.mark("smoothed loss").set({ ...(points ?? NO_POINTS), stroke_width });
      this.setSweeps(this.quartiles, new Columns(span, columns));
    });
    memos.visible.when([showRaw], () => {
      this.mark("raw loss").set({ visible: showRaw });
    });
    // Under the marker's rule it would only blur it.
    const apart = suggestion === lr ? null : suggestion;
    memos.suggestion.when([apart], () => {
      this.mark("suggestion").set(upright(apart));
    });
    // The marker is drawn over the plot's edges, and must not stand in the margin.
    const seen = lr !== null && clampRate(lr, span) === lr ? lr : null;
    memos.marker.when([seen], () => {
      this.mark("rule").set(upright(seen));
      this.placeMarker(seen);
    });
  }

  /** Puts the marker where the rate is, also where a drag has taken it somewhere else. */
  placeMarker(lr: number | null): void {
    const marker = this.mark("marker");
    const at = (marker.get("x") as ArrayLike<number>)[0] ?? null;
    if (at === lr) return;
    const one = (value: number | null): Float64Array =>
      value === null ? NOTHING : Float64Array.of(value);
    marker.set({ x: one(lr), y: one(lr === null ? null : 0) });
  }

  /** Median and quartiles of several sweeps. */
  private setSweeps(all: Quartiles | null, columns: Columns): void {
    this.mark("median").set({ ...(all ? thinned(all.lr, all.median, columns) : NO_POINTS) });
    // Of a single sweep there are no quartiles.
    const edge = (values: Float64Array): Float64Array =>
      values.map((value, step) => (all!.count[step]! > 1 ? value : NaN));
    const band = all ? outline(all.lr, edge(all.low), edge(all.high), columns) : NO_POINTS;
    this.mark("band").set({ ...band });
  }

  private setSpan(span: Span): void {
    const scales = this.mark("marker").get("scales") as { x: RealModel };
    this.setTicks(0, rateTicks(span));
    scales.x.set({ min: span.low, max: span.high });
  }

  private setRange(range: Range, labelled: boolean): void {
    const scales = this.mark("raw loss").get("scales") as { y: RealModel };
    const ticks = lossTicks(range);
    // Numbers beside an empty plot would be made up.
    if (!labelled) for (const key of Object.keys(ticks.labels)) ticks.labels[key] = "";
    this.setTicks(1, ticks);
    scales.y.set({ ...range });
  }

  private setTicks(axis: 0 | 1, { values, labels }: Ticks): void {
    // In this order: new positions are drawn a moment later, with the labels of right now.
    this.axes[axis]?.set({ tick_labels: labels });
    this.axes[axis]?.set({ tick_values: values });
  }
}

/** A line from the bottom to the top of the plot at a rate; nothing without one. */
function upright(lr: number | null): { x: Float64Array; y: Float64Array } {
  if (lr === null) return { x: NOTHING, y: NOTHING };
  return { x: Float64Array.of(lr, lr), y: Float64Array.of(0, 1) };
}
