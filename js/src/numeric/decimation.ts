// Drawing more points than the plot has pixels buys nothing and costs much. What is drawn instead is
// the smallest and the largest value of every pixel column, so a spike of one row is never hidden.
// Rows that arrive are added to what is there: a redraw costs what is new, not what has been.
import type { Span } from "./axis";
import { Numbers } from "./numbers";

export interface Points {
  x: Float64Array<ArrayBuffer>;
  y: Float64Array<ArrayBuffer>;
}

/** The pixel column in which a rate falls. */
export function columnOf(lr: number, span: Span, columns: number): number {
  return Math.floor((Math.log(lr / span.low) / Math.log(span.high / span.low)) * columns);
}

/** The pixel column of every row, on a logarithmic axis. A logarithm for each is what takes time. */
export class Columns {
  private readonly columns = new Numbers();

  /**
   * @param span the rates at the ends of the axis
   * @param count width of the plot in pixels
   */
  constructor(
    readonly span: Span,
    readonly count: number,
  ) {}

  /**
   * By rates, the same as before and more. Beside the axis lie -1 and count + 1; a rate that is not
   * positive and finite has none (NaN).
   */
  of(lr: Float64Array): Float64Array {
    const { columns, count, span } = this;
    for (let i = columns.length; i < lr.length; i++) {
      const rate = lr[i]!;
      if (!(rate > 0 && rate < Infinity)) columns.push(NaN);
      else if (rate < span.low) columns.push(-1);
      else columns.push(rate > span.high ? count + 1 : columnOf(rate, span, count));
    }
    return columns.view;
  }
}

/** The points to draw for one line. */
export class Decimator {
  private readonly x = new Numbers();
  private readonly y = new Numbers();
  private rowsDone: number;
  private nextStart = 0;
  private decimating = false;
  private column = NaN;
  // The rows to be drawn of the column in hand; -1 where it has none yet.
  private minRow = -1;
  private maxRow = -1;

  /** @param first the row with which the line begins */
  constructor(
    private readonly columns: Columns,
    readonly first = 0,
  ) {
    this.rowsDone = first;
  }

  /**
   * @param lr rates, ascending within a sweep; a row whose rate is not positive and finite is left out
   * @param values what is drawn; a non-finite value breaks the line (NaN in the result)
   * @param starts offsets where each sweep begins: the line breaks there
   *
   * Rates, values and starts are the same as before and more.
   */
  extend(lr: Float64Array, values: Float64Array, starts: readonly number[]): Points {
    const { count } = this.columns;
    if (!this.decimating && lr.length - this.first > 2 * count) this.startDecimating();
    const columns = this.columns.of(lr);
    for (let i = this.rowsDone; i < lr.length; i++) {
      if (i === starts[this.nextStart]) {
        this.nextStart++;
        this.breakLine(lr, values);
      }
      const column = columns[i]!;
      const value = values[i]!;
      if (Number.isNaN(column) || !Number.isFinite(value)) {
        this.breakLine(lr, values);
        continue;
      }
      const group = this.decimating ? column : i;
      if (group !== this.column) {
        this.flush(lr, values);
        this.column = group;
      }
      if (this.minRow < 0) this.minRow = this.maxRow = i;
      // Beside the axis only the line's way in and out is worth anything.
      else if (group < 0 || group > count) this.maxRow = i;
      else if (value < values[this.minRow]!) this.minRow = i;
      else if (value > values[this.maxRow]!) this.maxRow = i;
    }
    this.rowsDone = lr.length;
    return this.points(lr, values);
  }

  /** There are more rows than pixels now: draw extremes instead of all. */
  private startDecimating(): void {
    this.decimating = true;
    this.x.truncate(0);
    this.y.truncate(0);
    this.rowsDone = this.first;
    this.nextStart = 0;
    this.column = NaN;
    this.minRow = this.maxRow = -1;
  }

  private flush(lr: Float64Array, values: Float64Array): void {
    if (this.minRow < 0) return;
    const first = Math.min(this.minRow, this.maxRow);
    const last = Math.max(this.minRow, this.maxRow);
    this.x.push(lr[first]!);
    this.y.push(values[first]!);
    if (last > first) {
      this.x.push(lr[last]!);
      this.y.push(values[last]!);
    }
    this.minRow = this.maxRow = -1;
  }

  private breakLine(lr: Float64Array, values: Float64Array): void {
    this.flush(lr, values);
    const last = this.y.length - 1;
    // A rate of its own keeps the logarithm finite; two breaks in a row are one.
    if (last >= 0 && !Number.isNaN(this.y.view[last]!)) {
      this.x.push(this.x.view[last]!);
      this.y.push(NaN);
    }
  }

  /** A copy of what is finished, and the column in hand as it is now. */
  private points(lr: Float64Array, values: Float64Array): Points {
    const { x, y, minRow, maxRow } = this;
    const { length } = x;
    this.flush(lr, values);
    const points = { x: x.view.slice(), y: y.view.slice() };
    x.truncate(length);
    y.truncate(length);
    [this.minRow, this.maxRow] = [minRow, maxRow];
    return points;
  }
}

/** The points of a line that is thinned once; see `Thinner.extend`. */
export function decimated(lr: Float64Array, values: Float64Array, columns: Columns): Points {
  return new Decimator(columns).extend(lr, values, [0]);
}
