// The texts about a run.
import { clampRate, type Span } from "../numeric/axis";
import type { KernelState } from "../stream/kernel";
import type { Command, Detail, RunAction, Status } from "../stream/protocol";
import { formatCount, formatDuration, formatLoss, formatRate, formatTimeLeft } from "./format";

/** The state of a run for the live region: short while it runs, with the outcome at its end. */
export function describeState(status: Status, detail: Detail, span: Span, sweeps = 1): string {
  const { state, step, steps } = status;
  const outcome = describeSuggestion(status, detail, sweeps);
  const place = `at step ${step} of ${steps}`;
  switch (state) {
    case "idle":
      return `Ready: ${steps} steps from ${formatRate(span.low)} to ${formatRate(span.high)}. The model is restored afterwards.`;
    case "running":
      return "Running.";
    case "paused":
      return `Paused ${place}.`;
    case "finished":
      return join("Finished.", outcome);
    case "diverged":
      return join(`Diverged ${place}.`, outcome);
    case "stopped":
      return join(`Stopped ${place}.`, outcome);
    case "failed":
      return join(`Failed ${place}${detail.elsewhere ? "" : "; the model is restored"}.`, outcome);
  }
}

function describeSuggestion(
  { suggestion }: Status,
  { reason, confidence, spread }: Detail,
  sweeps: number,
): string {
  if (suggestion === null) return reason ? `No rate to suggest: ${sentence(reason)}` : "";
  const parts = [`Suggested rate ${formatRate(suggestion)}`];
  if (confidence) parts.push(`${confidence} confidence`);
  if (typeof spread === "number") parts.push(describeSpread(spread, sweeps));
  const rate = parts.join(", ");
  return reason ? `${rate}: ${sentence(reason)}` : `${rate}.`;
}

/** What a refinement costs at most: "at most 1,400 steps, about 2 min". */
export function describeCost({ step, elapsed }: Status, { budget = 0 }: Detail): string {
  const steps = Math.max(budget - step, 0);
  const time = step > 0 && elapsed > 0 ? `, about ${formatDuration((elapsed / step) * steps)}` : "";
  return `at most ${formatCount(steps)} steps${time}`;
}

/** The next step to take after a sweep that says little; empty if it says enough. */
export function describeNextStep(status: Status, detail: Detail): string {
  const { suggestion, state, step } = status;
  const ended = state === "finished" || state === "diverged" || state === "stopped";
  if (!ended || step === 0 || !detail.budget) return "";
  if (suggestion !== null && detail.confidence !== "low") return "";
  const does = suggestion === null ? "looks for a rate" : "tries rates around it";
  return `Refine ${does} in short trials: ${describeCost(status, detail)}.`;
}

/** The spread of the sweeps' own suggestions: "spread 0.12 decades over 3 sweeps". */
export function describeSpread(spread: number, sweeps: number): string {
  return `spread ${spread.toFixed(2)} decades over ${sweeps} sweeps`;
}

/** The numbers of the newest row: "step 43 of 100 · lr 1.2e-3 · loss 0.532 · 12 s left". */
export function describeProgress(status: Status, lr: number, loss: number, sweep = 1): string {
  const { state, step, steps, elapsed } = status;
  if (step === 0) return state === "idle" ? "" : `step 0 of ${steps}`;
  const parts = [`step ${step} of ${steps}`];
  if (sweep > 1) parts.push(`sweep ${sweep}`);
  if (lr > 0) parts.push(`lr ${formatRate(lr)}`, `loss ${formatLoss(loss)}`);
  if (state === "running" || state === "paused") parts.push(formatTimeLeft(elapsed, step, steps));
  return parts.filter(Boolean).join(" · ");
}

const ENDS: Record<string, string> = {
  "non-finite": "loss not finite",
  exhausted: "out of data",
};

/** Why a trial of a check or a refinement ended before its last step. */
export function describeEnd(reason: string): string {
  return ENDS[reason] ?? reason;
}

type Button = Command | RunAction | "export";

/** The labels of the buttons that are not called like what they send. */
const LABEL: Partial<Record<Button, string>> = {
  unblock: "Stop the other sweep",
  activate: "Use",
};

/** Why a pressed button has had no effect yet. `seen`: whether the host shows the kernel as alive. */
export function describeWaiting(name: Button, seen = true): string {
  const label = LABEL[name] ?? name[0]!.toUpperCase() + name.slice(1);
  if (!seen) {
    return `No answer from the kernel yet: ${label} will act when it is free, if it is still there.`;
  }
  if (name === "pause" || name === "stop") {
    return `${label} waits for the step in hand, and for the running cell if the kernel is busy.`;
  }
  return `Kernel busy: ${label} will act when the running cell ends.`;
}

/** What the widget shows without a kernel, and what still works. */
export function describeNoKernel(kernel: KernelState, cutOff: boolean, recorded: boolean): string {
  const [lead, curve] =
    kernel === "lost"
      ? ["No kernel can be reached", "this is the curve so far"]
      : ["No kernel", `this is the recorded curve${cutOff ? ", cut off in mid-run" : ""}`];
  const anew =
    kernel === "replaced" ? "The new kernel does not know the widget: run its cell again." : "";
  if (!recorded) return join(`${lead}, and no curve has been recorded.`, anew);
  return join(`${lead}: ${curve}. Smoothing, loss limit, marker and Copy still work.`, anew);
}

/** Why a rate is clamped to those that were swept or refined. */
export function describeOutside(lr: number, span: Span): string {
  return `${formatRate(lr, 3)} lies outside of ${formatRate(span.low)} to ${formatRate(span.high)}. The rate is ${formatRate(clampRate(lr, span))}.`;
}

/** "Type: message" in its two parts. */
export function splitError(error: string): { type: string; message: string } {
  const at = error.indexOf(": ");
  return at < 0
    ? { type: error, message: "" }
    : { type: error.slice(0, at), message: error.slice(at + 2) };
}

/** Joins those parts that are not empty to sentences one after the other. */
export function join(...parts: string[]): string {
  return parts.filter(Boolean).join(" ");
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
