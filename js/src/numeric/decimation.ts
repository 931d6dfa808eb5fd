// Lines of more rows than pixels are reduced to the smallest and the largest value in each pixel column,
// so that a spike of one row stays visible. New rows are added to the result: a redraw costs only them.
import type { Span } from "./axis";
import { Numbers } from "./numbers";

export interface Points {
  x: Float64Array<ArrayBuffer>;
  y: Float64Array<ArrayBuffer>;
}

/** The pixel column of a rate. */
export function columnOf(lr: number, span: Span, columns: number): number {
  return Math.floor((Math.log(lr / span.low) / Math.log(span.high / span.low)) * columns);
}

/** The pixel column of every row, on a logarithmic axis; kept, since the logarithms are slow. */
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
   * The columns of rates: those of the last call, and further ones. Below the axis the column is -1,
   * above it count + 1; NaN for a rate that is not positive and finite.
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

/** The points of one line. */
export class Decimator {
  private readonly x = new Numbers();
  private readonly y = new Numbers();
  private rowsDone: number;
  private nextStart = 0;
  private decimating = false;
  private column = NaN;
  // The rows to draw in the current column; -1 if there are none.
  private minRow = -1;
  private maxRow = -1;

  /** @param first the first row of the line */
  constructor(
    private readonly columns: Columns,
    readonly first = 0,
  ) {
    this.rowsDone = first;
  }

  /**
   * @param lr rates, ascending within a sweep; a row whose rate is not positive and finite is left out
   * @param values one per row; a non-finite value breaks the line (NaN in the result)
   * @param starts offsets where each sweep begins: the line breaks there
   *
   * All three hold what they held in the last call, and further entries.
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
      // Outside of the axis only the first and the last row matter.
      else if (group < 0 || group > count) this.maxRow = i;
      else if (value < values[this.minRow]!) this.minRow = i;
      else if (value > values[this.maxRow]!) this.maxRow = i;
    }
    this.rowsDone = lr.length;
    return this.points(lr, values);
  }

  /** Starts again, with the extremes of each column instead of all rows. */
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
    // The break needs a positive rate, or the logarithm is not finite; breaks in a row become one.
    if (last >= 0 && !Number.isNaN(this.y.view[last]!)) {
      this.x.push(this.x.view[last]!);
      this.y.push(NaN);
    }
  }

  /** A copy of the points, with those of the unfinished column. */
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

/** The decimated points of a single sweep; see `Decimator.extend`. */
export function decimated(lr: Float64Array, values: Float64Array, columns: Columns): Points {
  return new Decimator(columns).extend(lr, values, [0]);
}
