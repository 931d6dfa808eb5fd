// The texts about a refinement.
import type { Refinement, Trial } from "../state/refinement";
import type { RefinementDetail, RunState, Status } from "../stream/protocol";
import { formatCount, formatLoss, formatRate, formatSize, formatTimeLeft } from "../text/format";
import { describeEnd, join } from "../text/words";

/** The state of a refinement: short while it runs, with the choice and its reason at the end. */
export function describeRefinement(
  state: RunState,
  { suggestion }: Status,
  { best, reason, confidence }: RefinementDetail,
  trials: readonly Trial[],
): string {
  const soFar = best === null ? "" : `Best so far: ${formatRate(best)}.`;
  switch (state) {
    case "running": {
      const rates = trials.filter(({ stopReason }) => stopReason === null);
      const trying = `Trying ${rates.map(({ lr }) => formatRate(lr)).join(", ")}.`;
      return join(rates.length ? trying : "Preparing the trials.", soFar);
    }
    case "paused":
      return join("Refinement paused.", soFar);
    case "failed":
      return join("Refinement failed; the model is restored.", soFar);
    case "stopped":
    case "finished": {
      // A refinement whose kernel has ended gives no reason.
      if (reason === "") return join("Refinement cut off in mid-run.", soFar);
      if (suggestion === null) return `No rate to choose: ${reason}.`;
      const doubt = confidence === null ? "" : `, ${confidence} confidence`;
      return `Refined rate ${formatRate(suggestion)}${doubt}: ${reason}.`;
    }
    default:
      return "";
  }
}

/** The progress within the budget: "430 of at most 1,500 steps · at most 12 s left". */
export function describeBudget(
  state: RunState,
  { spent, status, detail }: Pick<Refinement, "spent" | "status" | "detail">,
): string {
  const { step, steps, elapsed } = status;
  const underWay = state === "running" || state === "paused";
  const left = underWay ? formatTimeLeft(elapsed, step, steps - detail.sweep_steps) : "";
  const most = underWay ? "at most " : "";
  const parts = [`${formatCount(spent)} of ${most}${formatCount(steps)} steps`];
  return [...parts, left && `at most ${left}`].filter(Boolean).join(" · ");
}

/** How far a trial has come: "best, 300 steps", "diverged at step 12". */
export function describeTrial(trial: Trial, best: number | null, state: RunState): string {
  const { lr, losses, stopReason } = trial;
  const { length } = losses;
  if (stopReason === "finished")
    return `${lr === best ? "best, " : ""}${formatCount(length)} steps`;
  if (stopReason !== null) return `${describeEnd(stopReason)} at step ${length}`;
  if (state === "running") return `running, step ${length}`;
  return `${state === "paused" ? "paused" : "stopped"} at step ${length}`;
}

/** What the numbers rest on and what the trials cost, in sentences. */
export function describeBasis(detail: RefinementDetail): string[] {
  const { held_out, untrained, kept_bytes, kept_in, planned_steps } = detail;
  const where = { device: "on the model's device", cpu: "in memory", disk: "on disk", "": "" };
  const before = untrained === null ? "" : `, with a loss of ${formatLoss(untrained)} untrained`;
  const kept = `To go on with trials, the states of up to three and the first one are kept ${where[kept_in]}`;
  return [
    held_out && `Held out of the trials: ${held_out}${before}.`,
    kept_bytes > 0 ? `${kept.trim()}: ${formatSize(kept_bytes)}.` : "",
    planned_steps === null
      ? "w.refine(planned_steps=…) takes the length of your training into account."
      : `For a training of ${formatCount(planned_steps)} steps.`,
  ].filter(Boolean);
}

/** The curves in one sentence, for screen readers. */
export function describeTrials(trials: readonly Trial[]): string {
  const parts = trials.map(({ lr, losses, heldOut }) => {
    const held = heldOut.at(-1);
    const loss = held ? formatLoss(held[1]) : "none yet";
    return `${formatRate(lr)}: ${loss} after ${held ? held[0] : losses.length} steps`;
  });
  return `Held-out and training loss of each trial over its steps; held-out loss ${parts.join(", ")}.`;
}
