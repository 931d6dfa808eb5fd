// The texts about a check.
import type { Span } from "../numeric/axis";
import type { CheckDetail, Status } from "../stream/protocol";
import { formatLoss, formatRate, formatTimeLeft } from "../text/format";
import { describeEnd } from "../text/words";

/** The state of a check: short while it runs, with the outcome at its end. */
export function describeCheck(
  status: Status,
  detail: CheckDetail,
  begun: number,
  lr: number | null,
  span: Span,
): string {
  const { lrs, stop_reasons: reasons } = detail;
  switch (status.state) {
    case "running": {
      const rate = lrs[begun - 1];
      return rate === undefined ? "" : `Checking ${formatRate(rate)}, ${begun} of ${lrs.length}.`;
    }
    case "finished":
      return describeBest(status.suggestion, detail, lr, span);
    case "stopped": {
      const done = reasons.filter((reason) => reason === "finished").length;
      return `Check stopped: ${done} of ${lrs.length} rates came to the end.`;
    }
    case "failed":
      return "Check failed; the model is restored.";
    default:
      return "";
  }
}

function describeBest(
  best: number | null,
  { lrs, final_losses: finals, notice }: CheckDetail,
  lr: number | null,
  span: Span,
): string {
  if (best === null && notice) return "Checked: there is no best rate.";
  if (best === null) return "Checked: no rate came to the end; try lower ones.";
  const finalOf = (rate: number): number | null => finals[lrs.indexOf(rate)] ?? null;
  const loss = formatLoss(finalOf(best) ?? NaN);
  const chosen = lr === best ? "the chosen rate, " : "";
  const other = lr === null || lr === best ? null : finalOf(lr);
  const against = other === null ? "" : `, against ${formatLoss(other)} at the chosen rate`;
  const sentences = [
    `Checked: ${chosen}${formatRate(best)} ended lowest, at loss ${loss}${against}.`,
  ];
  if (lrs.length > 1 && best === lrs.at(-1))
    sentences.push("It is the highest rate tried: a higher one may do better still.");
  if (lrs.length > 1 && best === lrs[0])
    sentences.push("It is the lowest rate tried: a lower one may do better still.");
  if (!isInside(best, span))
    sentences.push(`It is outside the sweep, ${formatRate(span.low)} to ${formatRate(span.high)}.`);
  return sentences.join(" ");
}

/** The rate to offer for the marker; null if there is none or the marker has it. */
export function offer(best: number | null, lr: number | null, span: Span): number | null {
  return best === null || best === lr || !isInside(best, span) ? null : best;
}

function isInside(lr: number, span: Span): boolean {
  return lr >= span.low && lr <= span.high;
}

/** The progress: "step 43 of 300 · 12 s left"; empty after the end. */
export function describeCheckProgress({ state, step, steps, elapsed }: Status): string {
  if (state !== "running") return "";
  const left = formatTimeLeft(elapsed, step, steps);
  return [`step ${step} of ${steps}`, left].filter(Boolean).join(" · ");
}

/** The state or the outcome of the trial of one rate. */
export function describeTrial(
  trial: number,
  begun: number,
  length: number,
  status: Status,
  { lrs, stop_reasons: reasons }: CheckDetail,
): string {
  const reason = reasons[trial] ?? null;
  if (reason === "finished") return lrs[trial] === status.suggestion ? "best" : "done";
  if (reason === null && status.state !== "running") return "not tried";
  if (reason === null) return trial + 1 === begun ? "running" : "waiting";
  return `${describeEnd(reason)} at step ${length}`;
}

/** The curves in one sentence, for screen readers. */
export function describeCurves(steps: number, lrs: readonly number[], last: number[]): string {
  const curves = lrs
    .slice(0, last.length)
    .map((lr, i) => `${formatRate(lr)}: ${formatLoss(last[i]!)}`);
  return `Smoothed loss over ${steps} steps at each rate, by now ${curves.join(", ")}.`;
}
