// Drawing more points than the plot has pixels buys nothing and costs much. What is drawn instead is
// the smallest and the largest value of every pixel column, so a spike of one row is never hidden.

export interface Points {
  x: Float64Array<ArrayBuffer>;
  y: Float64Array<ArrayBuffer>;
}

export interface Span {
  low: number;
  high: number;
}

/** The pixel column in which a rate falls. */
export function columnOf(lr: number, span: Span, columns: number): number {
  return Math.floor((Math.log(lr / span.low) / Math.log(span.high / span.low)) * columns);
}

/**
 * The points to draw for one line over a logarithmic x axis.
 *
 * @param lr rates, ascending within a sweep; a row whose rate is not positive and finite is left out
 * @param values what is drawn; a non-finite value breaks the line (NaN in the result)
 * @param starts offsets where each sweep begins: the line breaks there
 * @param span the rates at the ends of the axis
 * @param columns width of the plot in pixels
 */
export function thinned(
  lr: Float64Array,
  values: Float64Array,
  starts: readonly number[],
  span: Span,
  columns: number,
): Points {
  const x: number[] = [];
  const y: number[] = [];
  const dense = lr.length > 2 * columns;

  let column = NaN;
  let least = -1;
  let most = -1;
  const flush = (): void => {
    if (least < 0) return;
    const first = Math.min(least, most);
    const last = Math.max(least, most);
    x.push(lr[first]!);
    y.push(values[first]!);
    if (last > first) {
      x.push(lr[last]!);
      y.push(values[last]!);
    }
    least = most = -1;
  };
  const breakLine = (): void => {
    flush();
    // A rate of its own keeps the logarithm finite; two breaks in a row are one.
    if (y.length && !Number.isNaN(y[y.length - 1]!)) {
      x.push(x[x.length - 1]!);
      y.push(NaN);
    }
  };

  let next = 0;
  for (let i = 0; i < lr.length; i++) {
    if (i === starts[next]) {
      next++;
      breakLine();
    }
    const rate = lr[i]!;
    const value = values[i]!;
    if (!(rate > 0 && rate < Infinity) || !Number.isFinite(value)) {
      breakLine();
      continue;
    }
    const here = dense ? columnOf(rate, span, columns) : i;
    if (here !== column) {
      flush();
      column = here;
    }
    if (least < 0 || value < values[least]!) least = i;
    if (most < 0 || value > values[most]!) most = i;
  }
  flush();
  return { x: Float64Array.from(x), y: Float64Array.from(y) };
}
