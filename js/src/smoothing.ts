/**
 * The bias-corrected exponential average of each sweep: m = beta*m + (1-beta)*loss, drawn as
 * m / (1 - beta**i) where i counts the finite losses so far. A non-finite loss is a gap: NaN at its
 * place, and the average does not see it. The Python package computes the same values; both are held
 * to tests/vectors/smoothing.json.
 *
 * @param loss raw losses
 * @param beta weight of the past, 0 <= beta < 1; 0 gives the losses themselves
 * @param starts offsets where each sweep begins: the average starts anew there
 */
export function smoothed(
  loss: Float64Array,
  beta: number,
  starts: readonly number[] = [0],
): Float64Array<ArrayBuffer> {
  const result = new Float64Array(loss.length);
  let next = 0;
  let average = 0;
  let weight = 1;
  for (let i = 0; i < loss.length; i++) {
    if (i === starts[next]) {
      next++;
      average = 0;
      weight = 1;
    }
    const value = loss[i]!;
    if (!Number.isFinite(value)) {
      result[i] = NaN;
      continue;
    }
    average = beta * average + (1 - beta) * value;
    weight *= beta;
    result[i] = average / (1 - weight);
  }
  return result;
}
