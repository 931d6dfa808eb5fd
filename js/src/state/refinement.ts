// The refinement of a suggestion: short trials, some of which are continued after others have run.
import type { Span } from "../numeric/axis";
import type { RefinementDetail } from "../stream/protocol";
import type { RunTable } from "../stream/rows";
import { Trials } from "./trials";

const NO_DETAIL: RefinementDetail = {
  sweep: 0,
  sweep_steps: 0,
  trials: [],
  best: null,
  reason: "",
  confidence: null,
  untrained: null,
  held_out: "",
  planned_steps: null,
  kept_bytes: 0,
  kept_in: "",
};

/** A trial of one rate as far as it has come. */
export interface Trial {
  lr: number;
  /** The loss of each step. */
  losses: Float64Array;
  /** Steps so far and the loss on held-out data, in rising order. */
  heldOut: readonly (readonly [number, number])[];
  /** Null while it is in progress; several may be at once. */
  stopReason: string | null;
}

/** The trials in a table, by rising rate; the rate of a row tells its trial. */
export function trialsOf(
  { lr: rates, loss }: Pick<RunTable, "lr" | "loss">,
  { trials }: RefinementDetail,
): Trial[] {
  const losses = new Map<number, number[]>(trials.map(({ lr }) => [lr, []]));
  rates.forEach((rate, row) => {
    // The row is missing.
    if (Number.isNaN(rate)) return;
    const own = losses.get(rate);
    if (own) own.push(loss[row]!);
    else losses.set(rate, [loss[row]!]);
  });
  return [...losses]
    .map(([lr, all]) => {
      const told = trials.find((trial) => trial.lr === lr);
      return {
        lr,
        losses: Float64Array.from(all.slice(told?.dropped ?? 0)),
        heldOut: told?.held_out ?? [],
        stopReason: told?.stop_reason ?? null,
      };
    })
    .sort((a, b) => a.lr - b.lr);
}

/** Its steps are the budget, its suggestion is the refined rate. */
export class Refinement extends Trials<"refinement", RefinementDetail> {
  private found: readonly Trial[] = [];
  private foundIn: readonly unknown[] = [];

  constructor(kernelEnded?: () => boolean) {
    super("refinement", NO_DETAIL, kernelEnded);
  }

  /** By rising rate; the same list as long as nothing has changed. */
  get trials(): readonly Trial[] {
    const table = this.store.current;
    const reasons = [table, table?.revision, this.detail];
    if (!reasons.every((reason, i) => reason === this.foundIn[i])) {
      this.foundIn = reasons;
      this.found = table ? trialsOf(table, this.detail) : [];
    }
    return this.found;
  }

  /** Steps so far, those of the sweep included. */
  get spent(): number {
    return this.detail.sweep_steps + this.status.step;
  }

  /** The rates that were tried or chosen; null without any. */
  get span(): Span | null {
    const { suggestion } = this.status;
    const rates = this.detail.trials.map(({ lr }) => lr);
    if (suggestion !== null) rates.push(suggestion);
    return rates.length ? { low: Math.min(...rates), high: Math.max(...rates) } : null;
  }
}
