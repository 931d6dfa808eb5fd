// What a user is led to: the one primary action of each state, and the first sight of a new widget.
import { hasEnded, type RunState } from "../stream/protocol";

export type Action = "start" | "resume" | "stop" | "refine" | "export" | "copy";

export interface Situation {
  state: RunState;
  /** A check or a refinement is under way. */
  trying: boolean;
  /** A rate is chosen. */
  rate: boolean;
  /** There are rows, of any run. */
  rows: boolean;
  connected: boolean;
  /** The sweep says so little that a refinement is the next step. */
  refine?: boolean;
}

/** The action whose button is the primary one; null where none would lead on. */
export function primaryAction(now: Situation): Action | null {
  // Without a kernel the rate can still be copied.
  if (!now.connected) return now.rate ? "copy" : null;
  if (now.trying || now.state === "running") return "stop";
  if (now.state === "paused") return "resume";
  if (now.refine) return "refine";
  // A rate that was picked before the sweep is a wish; a rate after it is the result.
  return hasEnded(now.state) && now.rate ? "export" : "start";
}

/** Whether nothing has happened yet, so that all but the chart and Start can wait. */
export function isFirstSight({ state, trying, rate, rows }: Situation): boolean {
  return state === "idle" && !trying && !rate && !rows;
}
