/**
 * Places labels side by side in their order, as near as possible to the middles they should have (least
 * squares, by pooling neighbours that overlap).
 *
 * @param wanted the middles that the labels should have, ascending
 * @param widths widths of the labels, gaps included
 * @param low, high the ends of the available room; labels that do not fit exceed its high end
 * @returns the middles of the labels
 */
export function dodged(
  wanted: readonly number[],
  widths: readonly number[],
  low: number,
  high: number,
): number[] {
  // Left edges minus the widths of all labels before: these do not overlap if they never descend.
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
