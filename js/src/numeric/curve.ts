// The lines of one run. A redraw computes only what new rows add, unless the view or an earlier row has
// changed. The exception is the smoothed line of the newest sweep: smoothing looks to both sides, so
// that new rows change all of it.
import type { Span } from "./axis";
import { Centred } from "./centred";
import { Columns, type Points, decimated, Decimator } from "./decimation";
import { AutoRange } from "./loss-range";
import { type Quartiles, SweepQuartiles } from "./quartiles";

/** The rows of a curve; while `rewritten` stays the same, rows are only added. */
export interface CurveRows {
  readonly lr: Float64Array;
  readonly loss: Float64Array;
  /** Offsets where each sweep begins. */
  readonly starts: readonly number[];
  /** How many sweeps have rows. */
  readonly sweeps: number;
  readonly rewritten: number;
}

export class Curve {
  private auto = new AutoRange();
  private columns = new Columns({ low: 0, high: 0 }, 0);
  private rawLine = new Decimator(this.columns);
  private smoother = new Centred(0);
  private sweepQuartiles = new SweepQuartiles();
  private rewritten = 0;

  constructor(readonly table: CurveRows) {}

  /** The automatic range of the loss axis, with the extreme losses. */
  get autoRange(): AutoRange {
    this.dropStale();
    this.auto.extend(this.table.loss, this.table.starts);
    return this.auto;
  }

  /** The smoothed loss of every row. A view, valid until the next call. */
  smoothed(beta: number): Float64Array {
    this.dropStale();
    if (beta !== this.smoother.beta) this.setSmoothing(beta);
    return this.smoother.extend(this.table.loss, this.table.starts);
  }

  /** Median and quartiles of the sweeps. Views, valid until the next call. */
  quartiles(beta: number): Quartiles {
    const smoothed = this.smoothed(beta);
    return this.sweepQuartiles.extend(this.table.lr, smoothed, this.table.starts);
  }

  /** The line of the raw losses, with a gap between sweeps; `width` of the plot is in pixels. */
  raw(span: Span, width: number): Points {
    this.dropStale();
    this.setView(span, width);
    const { lr, loss, starts } = this.table;
    return this.rawLine.extend(lr, loss, starts);
  }

  /** The smoothed line of the newest sweep. */
  line(beta: number, span: Span, width: number): Points {
    const smoothed = this.smoothed(beta);
    this.setView(span, width);
    const { lr, starts, sweeps } = this.table;
    return new Decimator(this.columns, starts[sweeps - 1] ?? 0).extend(lr, smoothed, []);
  }

  /** The run as one line: the smoothed loss, or the median of several sweeps. */
  summary(beta: number, span: Span, width: number): Points {
    if (this.table.sweeps < 2) return this.line(beta, span, width);
    const { lr, median } = this.quartiles(beta);
    return decimated(lr, median, new Columns(span, width));
  }

  /** Drops all results if an earlier row has changed. */
  private dropStale(): void {
    if (this.rewritten === this.table.rewritten) return;
    this.rewritten = this.table.rewritten;
    this.auto = new AutoRange();
    this.setSmoothing(this.smoother.beta);
    this.setColumns(new Columns(this.columns.span, this.columns.count));
  }

  private setView(span: Span, width: number): void {
    const { low, high } = this.columns.span;
    if (span.low === low && span.high === high && width === this.columns.count) return;
    this.setColumns(new Columns(span, width));
  }

  private setColumns(columns: Columns): void {
    this.columns = columns;
    this.rawLine = new Decimator(columns);
  }

  private setSmoothing(beta: number): void {
    this.smoother = new Centred(beta);
    this.sweepQuartiles = new SweepQuartiles();
  }
}
