import { Numbers } from "./numbers";

/**
 * The bias-corrected exponential average of each sweep: m = beta*m + (1-beta)*loss, drawn as
 * m / (1 - beta**i) where i counts the finite losses so far. A non-finite loss is a gap: NaN at its
 * place, and the average does not see it. The Python package computes the same values; both are held
 * to tests/vectors/smoothing.json.
 *
 * It goes on from the last row: what has been smoothed is not looked at again.
 */
export class Smoother {
  private readonly values = new Numbers();
  private next = 0;
  private average = 0;
  private weight = 1;

  /** @param beta weight of the past, 0 <= beta < 1; 0 gives the losses themselves */
  constructor(readonly beta: number) {}

  /**
   * The average of every row. A view: read it, do not keep it.
   *
   * @param loss raw losses, the same as before and more
   * @param starts offsets where each sweep begins: the average starts anew there
   */
  extend(loss: Float64Array, starts: readonly number[]): Float64Array<ArrayBuffer> {
    const { beta, values } = this;
    for (let i = values.length; i < loss.length; i++) {
      if (i === starts[this.next]) {
        this.next++;
        this.average = 0;
        this.weight = 1;
      }
      const value = loss[i]!;
      if (!Number.isFinite(value)) {
        values.push(NaN);
        continue;
      }
      this.average = beta * this.average + (1 - beta) * value;
      this.weight *= beta;
      values.push(this.average / (1 - this.weight));
    }
    return values.view;
  }
}

/** The average of one sweep. */
export function smoothed(loss: Float64Array, beta: number): Float64Array<ArrayBuffer> {
  return new Smoother(beta).extend(loss, [0]);
}
