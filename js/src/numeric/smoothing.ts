/**
 * The bias-corrected exponential average of a sweep: m = beta*m + (1-beta)*loss, given as
 * m / (1 - beta**i) where i counts the finite losses so far. A non-finite loss gives NaN and does not
 * enter the average. The Python package computes the same values; both are tested against
 * tests/vectors/smoothing.json.
 *
 * @param loss raw losses of one sweep
 * @param beta weight of the past, 0 <= beta < 1; 0 gives the losses themselves
 */
export function smoothed(loss: Float64Array, beta: number): Float64Array<ArrayBuffer> {
  let average = 0;
  let weight = 1;
  return Float64Array.from(loss, (value) => {
    if (!Number.isFinite(value)) return NaN;
    average = beta * average + (1 - beta) * value;
    weight *= beta;
    return average / (1 - weight);
  });
}
