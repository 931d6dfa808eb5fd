// Puts the picture into bqplot's models, which draw it in every view. Only this file knows them.
// Models are set without save_changes: what is drawn never depends on the kernel, nor troubles it.
import type { RealModel } from "./host";
import { autoRange, shownRange, type Range } from "./limits";
import { outline } from "./band";
import { quartiles, type Quartiles } from "./quartiles";
import { smoothed } from "./smoothing";
import type { RunTable } from "./store";
import { thinned, type Span } from "./thin";
import { lossTicks, rateTicks, type Ticks } from "./ticks";

/** What is to be seen. */
export interface Picture {
  table: RunTable | null;
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
  /** The automatic range of the loss axis. */
  auto: Range = autoRange(NOTHING);
  /** The smoothed loss of every row. */
  smoothed = new Float64Array(0);
  /** The sweeps as one curve; null where there are not several. */
  quartiles: Quartiles | null = null;
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
    const rates = table?.lr ?? NOTHING;
    const loss = table?.loss ?? NOTHING;
    const starts = table?.starts ?? [0];
    const rows = [table, table?.revision];
    memos.span.when([span.low, span.high], () => {
      this.setSpan(span);
    });
    memos.auto.when(rows, () => {
      this.auto = autoRange(loss, starts);
    });
    const range = shownRange(this.auto, limit);
    memos.limit.when([range.min, range.max, rates.length > 0], () => {
      this.setRange(range, rates.length > 0);
    });
    memos.raw.when([...rows, span.low, span.high, columns], () => {
      const opacities = [table && table.sweeps > 1 ? FAINT : 1];
      this.mark("raw loss").set({ ...thinned(rates, loss, starts, span, columns), opacities });
    });
    memos.smoothed.when([...rows, span.low, span.high, columns, smoothing, ended], () => {
      this.smoothed = smoothed(loss, smoothing, starts);
      if (table && table.sweeps > 1) this.setSweeps(table, span, columns, ended);
      else this.setSweep(rates, span, columns);
    });
    memos.visible.when([showRaw], () => {
      this.mark("raw loss").set({ visible: showRaw });
    });
    // Under the marker's rule it would only blur it.
    const apart = suggestion === lr ? null : suggestion;
    memos.suggestion.when([apart], () => {
      this.mark("suggestion").set(upright(apart));
    });
    memos.marker.when([lr], () => {
      this.mark("rule").set(upright(lr));
      this.placeMarker(lr);
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

  /** One sweep: its smoothed loss as the strong line. */
  private setSweep(rates: Float64Array, span: Span, columns: number): void {
    this.quartiles = null;
    const points = thinned(rates, this.smoothed, [0], span, columns);
    this.mark("smoothed loss").set({ ...points, stroke_width: STRONG });
    this.mark("median").set(NO_POINTS);
    this.mark("band").set(NO_POINTS);
  }

  /** Several sweeps: median and quartiles, and below them the sweep in progress. */
  private setSweeps(table: RunTable, span: Span, columns: number, ended: boolean): void {
    const all = quartiles(table.lr, this.smoothed, table.starts);
    this.quartiles = all;
    this.mark("median").set({ ...thinned(all.lr, all.median, [0], span, columns) });
    // Of a single sweep there are no quartiles.
    const edge = (values: Float64Array): Float64Array =>
      values.map((value, step) => (all.count[step]! > 1 ? value : NaN));
    this.mark("band").set({ ...outline(all.lr, edge(all.low), edge(all.high), span, columns) });
    const last = table.starts[table.sweeps - 1]!;
    const [lr, line] = [table.lr.subarray(last), this.smoothed.subarray(last)];
    const points = ended ? NO_POINTS : thinned(lr, line, [0], span, columns);
    this.mark("smoothed loss").set({ ...points, stroke_width: QUIET });
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
