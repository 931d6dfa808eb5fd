// Sets bqplot's models, which draw the chart in every view. Only this file knows them.
// It sets them without save_changes, so that drawing needs no kernel and sends nothing.
import type { RealModel } from "../host";
import { clampRate, type Span } from "../numeric/axis";
import { outline } from "../numeric/band";
import { Curve } from "../numeric/curve";
import { Columns, type Points, decimated } from "../numeric/decimation";
import { AutoRange, logRange, type Range, visibleRange } from "../numeric/loss-range";
import type { Quartiles } from "../numeric/quartiles";
import type { Run } from "../state/runs";
import type { Session } from "../state/session";
import type { RunTable } from "../stream/rows";
import { FAINT, MARK_STYLES, type MarkName, QUIET, STRONG } from "./styles";
import { logTicks, lossTicks, rateTicks, type Ticks } from "./ticks";

/** The input of a drawing. */
export interface Picture {
  table: RunTable | null;
  /** The runs beside the active one. */
  others: readonly Run[];
  /** The rates at the ends of the x axis. */
  span: Span;
  showRaw: boolean;
  /** The traits that page and kernel both set. */
  traits: Session["traits"];
  suggestion: number | null;
  /** Whether the run has ended, so that no sweep is in progress. */
  ended: boolean;
  /** Width of the widest view's plot in pixels. */
  columns: number;
}

const NOTHING = new Float64Array(0);
const NO_POINTS = { x: NOTHING, y: NOTHING };

/** Changes of what only this file sets, and otherwise the kernel's state. */
const RESETS = "change:colors change:tick_values change:min change:max";

export class Chart {
  /** The automatic range of the loss axis, and the largest loss. */
  autoRange = new AutoRange();
  /** The range of the loss axis. */
  range: Range = this.autoRange.range;
  /** The styles of the inactive runs, in the order of their curves in the mark "others". */
  otherStyles: readonly number[] = [];
  private log = false;
  private readonly curves = new WeakMap<RunTable, Curve>();
  private readonly marks: Map<string, RealModel>;
  private readonly axes: RealModel[];
  /** From what each part was drawn. */
  private drawnFrom: Record<string, readonly unknown[]> = {};
  private setting = false;

  /** `onReset` is called when the chart has to be drawn anew. */
  constructor(figure: RealModel, onReset?: () => void) {
    const marks = figure.get("marks") as RealModel[];
    this.marks = new Map(marks.map((mark) => [(mark.get("labels") as string[])[0] ?? "", mark]));
    this.axes = figure.get("axes") as RealModel[];
    this.style();
    // JupyterLab sets all models to the kernel's state when a lost connection is back, and there the
    // marks are empty and have no style.
    const reset = (): void => {
      if (this.setting) return;
      this.drawnFrom = {};
      onReset?.();
    };
    const scaled = this.axes.map((axis) => axis.get("scale") as RealModel);
    for (const model of [...marks, ...this.axes, ...scaled]) model.on(RESETS, reset, this);
  }

  private style(): void {
    this.when("styles", [], () => {
      for (const [label, mark] of this.marks) mark.set({ ...MARK_STYLES[label as MarkName] });
    });
  }

  /** Runs the effect only when one of its inputs has changed. */
  private when(part: string, inputs: readonly unknown[], effect: () => void): void {
    const before = this.drawnFrom[part];
    if (before?.length === inputs.length && inputs.every((input, i) => Object.is(input, before[i])))
      return;
    this.drawnFrom[part] = inputs;
    effect();
  }

  /** A mark's model by its first label. */
  mark(name: string): RealModel {
    return this.marks.get(name)!;
  }

  /** A run as it is drawn. */
  curveOf(table: RunTable): Curve {
    let curve = this.curves.get(table);
    if (!curve) {
      curve = new Curve(table);
      this.curves.set(table, curve);
    }
    return curve;
  }

  draw(picture: Picture): void {
    this.setting = true;
    this.style();
    const { table, others, span, showRaw, traits, suggestion, ended, columns } = picture;
    const lr = traits.lr.value;
    const smoothing = traits.smoothing.value;
    const curve = table && this.curveOf(table);
    const rows = [table, table?.revision];
    const all = [...(table ? [table] : []), ...others.map((other) => other.table)];
    const drawn = all.some(({ length }) => length > 0);
    this.when("span", [span.low, span.high], () => {
      this.setSpan(span);
    });
    const everyRow = all.flatMap((each) => [each, each.revision]);
    this.when("auto", everyRow, () => {
      this.autoRange = together(
        all.filter(({ length }) => length > 0).map((each) => this.curveOf(each).autoRange),
      );
    });
    const { minPositiveLoss, maxLoss } = this.autoRange;
    this.log = traits.log_y.value && minPositiveLoss < Infinity;
    const linear = visibleRange(this.autoRange.range, traits.y_max.value);
    this.range = this.log ? logRange(linear, minPositiveLoss, maxLoss) : linear;
    const { log, range } = this;
    this.when("limit", [range.min, range.max, drawn, log], () => {
      this.setRange(range, drawn);
    });
    this.when("raw", [log, ...rows, span.low, span.high, columns], () => {
      const opacities = [table && table.sweeps > 1 ? FAINT : 1];
      const points = curve?.raw(span, columns) ?? NO_POINTS;
      this.mark("raw loss").set({ ...this.scaled(points), opacities });
    });
    this.when("smoothed", [log, ...rows, span.low, span.high, columns, smoothing, ended], () => {
      const several = curve !== null && curve.table.sweeps > 1;
      // The sweep in progress: alone, or below the median of all sweeps.
      const points = several && ended ? NO_POINTS : curve?.line(smoothing, span, columns);
      const stroke_width = several ? QUIET : STRONG;
      this.mark("smoothed loss").set({ ...this.scaled(points ?? NO_POINTS), stroke_width });
      this.setSweeps(several ? curve.quartiles(smoothing) : null, new Columns(span, columns));
    });
    const beside = others.flatMap(({ table: { run, revision }, style }) => [run, revision, style]);
    this.when("others", [log, ...beside, span.low, span.high, columns, smoothing], () => {
      const lines = others
        .map(({ style, table }) => ({
          style,
          ...this.scaled(this.curveOf(table).summary(smoothing, span, columns)),
        }))
        // bqplot fails on a curve without points.
        .filter(({ x }) => x.length > 0);
      this.otherStyles = lines.map(({ style }) => style);
      this.mark("others").set({ x: lines.map(({ x }) => x), y: lines.map(({ y }) => y) });
    });
    this.when("visible", [showRaw], () => {
      this.mark("raw loss").set({ visible: showRaw });
    });
    // Below the rule of the marker it would only blur that.
    const apart = suggestion === lr ? null : suggestion;
    this.when("suggestion", [apart], () => {
      this.mark("suggestion").set(upright(apart));
    });
    // The marker is not clipped at the edges of the plot and must not lie in the margin.
    const seen = lr !== null && clampRate(lr, span) === lr ? lr : null;
    this.when("marker", [seen], () => {
      this.mark("rule").set(upright(seen));
    });
    this.placeMarker(seen);
    this.setting = false;
  }

  /** Places the marker at the rate, also after a drag has moved it. */
  placeMarker(lr: number | null): void {
    const marker = this.mark("marker");
    const at = (marker.get("x") as ArrayLike<number>)[0] ?? null;
    if (at === lr) return;
    const one = (value: number | null): Float64Array =>
      value === null ? NOTHING : Float64Array.of(value);
    marker.set({ x: one(lr), y: one(lr === null ? null : 0) });
  }

  /** Whether a logarithmic loss axis can show any of the losses so far. */
  get canBeLog(): boolean {
    const { minPositiveLoss, maxLoss } = this.autoRange;
    return minPositiveLoss < Infinity || maxLoss === -Infinity;
  }

  /** The position of a loss on the loss axis; NaN if it has none. */
  heightOf(loss: number): number {
    if (!this.log) return loss;
    return loss > 0 ? Math.log10(loss) : NaN;
  }

  private scaled({ x, y }: Points): Points {
    const heights = this.log ? y.map((loss) => this.heightOf(loss)) : y;
    // bqplot puts a line's (hidden) name at its last point, which has to have a place.
    let end = x.length;
    while (end > 0 && Number.isNaN(heights[end - 1])) end--;
    return end === x.length ? { x, y: heights } : { x: x.slice(0, end), y: heights.slice(0, end) };
  }

  /** Median and quartiles of several sweeps. */
  private setSweeps(all: Quartiles | null, columns: Columns): void {
    const median = all ? decimated(all.lr, all.median, columns) : NO_POINTS;
    this.mark("median").set({ ...this.scaled(median) });
    // A single sweep has no quartiles.
    const edge = (values: Float64Array): Float64Array =>
      values.map((value, step) => (all!.count[step]! > 1 ? value : NaN));
    const band = all ? outline(all.lr, edge(all.low), edge(all.high), columns) : NO_POINTS;
    this.mark("band").set({ ...this.scaled(band) });
  }

  private setSpan(span: Span): void {
    const scales = this.mark("marker").get("scales") as { x: RealModel };
    this.setTicks(0, rateTicks(span));
    scales.x.set({ min: span.low, max: span.high });
  }

  private setRange(range: Range, labelled: boolean): void {
    const scales = this.mark("raw loss").get("scales") as { y: RealModel };
    const ticks = this.log ? logTicks(range) : lossTicks(range);
    // An empty plot has no losses from which to choose ticks.
    if (!labelled) for (const key of Object.keys(ticks.labels)) ticks.labels[key] = "";
    this.setTicks(1, ticks);
    scales.y.set({ min: range.min, max: range.max });
  }

  private setTicks(axis: 0 | 1, { values, labels }: Ticks): void {
    // The order matters: bqplot draws new positions later, with the labels of this moment.
    this.axes[axis]?.set({ tick_labels: labels });
    this.axes[axis]?.set({ tick_values: values });
  }
}

/** Combines the ranges of several runs. */
function together(limits: readonly AutoRange[]): AutoRange {
  const all = new AutoRange();
  if (limits.length === 0) return all;
  all.range = {
    min: Math.min(...limits.map(({ range }) => range.min)),
    max: Math.max(...limits.map(({ range }) => range.max)),
  };
  all.maxLoss = Math.max(...limits.map(({ maxLoss }) => maxLoss));
  all.minPositiveLoss = Math.min(...limits.map(({ minPositiveLoss }) => minPositiveLoss));
  return all;
}

/** A vertical line at a rate, over the height of the plot; empty without a rate. */
function upright(lr: number | null): { x: Float64Array; y: Float64Array } {
  if (lr === null) return { x: NOTHING, y: NOTHING };
  return { x: Float64Array.of(lr, lr), y: Float64Array.of(0, 1) };
}
