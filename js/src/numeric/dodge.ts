/**
 * Where labels go that would overlap at the places they belong to: in their order, side by side, and
 * together as near to their places as can be (least squares, by pooling neighbours that clash).
 *
 * @param wanted the middles they would have, ascending
 * @param widths their widths, gaps included
 * @param low, high the ends of the room; where it is too small they run over its high end
 * @returns the middles they get
 */
export function dodged(
  wanted: readonly number[],
  widths: readonly number[],
  low: number,
  high: number,
): number[] {
  // With the widths of those before it taken off each left edge, "apart" is "not descending".
  const before: number[] = [];
  let total = 0;
  for (const width of widths) {
    before.push(total);
    total += width;
  }
  const pools: { sum: number; count: number }[] = [];
  wanted.forEach((middle, i) => {
    let pool = { sum: middle - widths[i]! / 2 - before[i]!, count: 1 };
    for (let last = pools.at(-1); last && mean(last) > mean(pool); last = pools.at(-1)) {
      pools.pop();
      pool = { sum: pool.sum + last.sum, count: pool.count + last.count };
    }
    pools.push(pool);
  });
  return pools
    .flatMap((pool) => Array<number>(pool.count).fill(mean(pool)))
    .map((edge, i) => {
      const inside = Math.max(Math.min(edge, high - total), low);
      return inside + before[i]! + widths[i]! / 2;
    });
}

function mean({ sum, count }: { sum: number; count: number }): number {
  return sum / count;
}
