// The row nearest to the pointer, of any run that is drawn.
import type { Quartiles } from "../numeric/quartiles";
import type { Run } from "../state/runs";
import type { Session } from "../state/session";
import type { RunTable } from "../stream/rows";
import { formatLoss, formatRate } from "../text/format";
import type { Chart } from "./figure";
import { across, type Place, rateOf } from "./place";

export interface HoveredRow {
  lr: number;
  /** Lines of text that describe the row. */
  lines: string[];
}

interface Row extends HoveredRow {
  /** The losses drawn at that rate. */
  losses: number[];
}

/** The row of a run nearest to a rate; null if the run has no rows. */
export function rowAt(lr: number, run: Run, session: Session, chart: Chart): Row | null {
  const { table } = run;
  const { traits, runs } = session;
  const smoothing = traits.smoothing.value;
  if (table.length === 0) return null;
  const curve = chart.curveOf(table);
  const sweeps = table.sweeps > 1 ? curve.quartiles(smoothing) : null;
  const values = sweeps?.median ?? curve.smoothed(smoothing);
  const rates = sweeps?.lr ?? table.lr;
  const row = nearest(rates, lr);
  return {
    lr: rates[row]!,
    // Raw losses are drawn of the active run only.
    losses: [values[row]!, ...(run === runs.active && !sweeps ? [table.loss[row]!] : [])],
    lines: sweeps ? describeSweeps(sweeps, row) : describeRow(table, values, row),
  };
}

/** Null if no run has rows. */
export function hoveredRow(
  x: number,
  y: number,
  session: Session,
  chart: Chart,
  place: Place,
): HoveredRow | null {
  const { runs, others, visibleSpan } = session;
  const lr = rateOf(x, visibleSpan, place);
  const { min, max } = chart.range;
  const several = others.length > 0;
  const found = [runs.active, ...others].flatMap(
    (run: Run): (HoveredRow & { distance: number })[] => {
      const row = rowAt(lr, run, session, chart);
      if (!row) return [];
      const height = (loss: number): number =>
        place.bottom - ((chart.heightOf(loss) - min) / (max - min)) * (place.bottom - place.top);
      const away = row.losses.map((loss) =>
        Math.hypot(across(row.lr, visibleSpan, place) - x, height(loss) - y),
      );
      // A row without a finite loss counts as far away.
      const distance = Math.min(...away.map((d) => (Number.isFinite(d) ? d : 1e9)));
      const { lines } = row;
      return [{ lr: row.lr, distance, lines: several ? [run.label, ...lines] : lines }];
    },
  );
  return found.sort((a, b) => a.distance - b.distance)[0] ?? null;
}

export function describeRow(table: RunTable, smoothed: Float64Array, row: number): string[] {
  const average = smoothed[row] ?? NaN;
  return [
    `step ${row + 1}`,
    `lr ${formatRate(table.lr[row]!, 3)}`,
    `loss ${formatLoss(table.loss[row]!)}`,
    ...(Number.isFinite(average) ? [`smoothed ${formatLoss(average)}`] : []),
  ];
}

export function describeSweeps(
  { lr, low, median, high, count }: Quartiles,
  step: number,
): string[] {
  const several = count[step]! > 1;
  return [
    `step ${step + 1}`,
    `lr ${formatRate(lr[step]!, 3)}`,
    `${several ? `median of ${count[step]}` : "smoothed"} ${formatLoss(median[step]!)}`,
    ...(several ? [`quartiles ${formatLoss(low[step]!)} to ${formatLoss(high[step]!)}`] : []),
  ];
}

/** The row whose rate is nearest on a logarithmic axis. */
export function nearest(rates: Float64Array, lr: number): number {
  let best = 0;
  let minDistance = Infinity;
  for (let i = 0; i < rates.length; i++) {
    const distance = Math.abs(Math.log(rates[i]! / lr));
    if (distance < minDistance) {
      minDistance = distance;
      best = i;
    }
  }
  return best;
}
