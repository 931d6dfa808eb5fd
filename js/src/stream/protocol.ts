// What passes between kernel and page, as types.
import type { AnyModel } from "@anywidget/types";

export type RunState =
  "idle" | "running" | "paused" | "finished" | "diverged" | "stopped" | "failed";

/** What can be done with one run. */
export type RunAction = "activate" | "rename" | "remove";

export type Command =
  "start" | "pause" | "resume" | "stop" | "reset" | "apply" | "check" | "extend";

/** Rates that divide the curve: where the loss begins to fall, is lowest, and has exploded. */
export interface Landmarks {
  falls_at?: number | null;
  minimum?: number | null;
  explodes_at?: number | null;
}

/** One of torch's optimizers as Python source, beside parameters and rate. */
export interface OptimizerRecipe {
  /** "torch.optim.Adam" */
  name: string;
  /** "weight_decay=0.01" */
  arguments: string;
  /** What a schedule can move beside the rate. */
  momentum: "momentum" | "betas" | null;
}

/** What a run leaves to say beyond numbers. */
export interface Detail {
  reason?: string | null;
  traceback?: string | null;
  stop_reason?: string | null;
  suggestions?: Record<string, number | null>;
  landmarks?: Landmarks;
  confidence?: "high" | "low" | null;
  /** Standard deviation of the single sweeps' suggestions, in decades. */
  spread?: number | null;
  elapsed?: number;
  /** The rates at the ends of the sweep. */
  span?: [number, number];
  optimizer?: OptimizerRecipe | null;
  notice?: string;
  /** Why there is nothing to train here; empty where there is. */
  elsewhere?: string;
  /** Whether the sweep can be extended where it runs. */
  extends?: boolean;
  /** How many steps that adds to each sweep. */
  adds?: number;
}

/** Which runs there are. The active one is not among them before it is started. */
export interface Legend {
  active: number;
  /** Number, label, and which way of drawing it is its own. */
  runs: [number, string, number][];
  /** Whether several may be under way at once. */
  parallel: boolean;
}

/** What there is to say of a check, by rate in rising order. */
export interface CheckDetail {
  lrs: number[];
  /** Mean loss of the last fifth of the steps; null until, and unless, the rate came to its end. */
  final_losses: (number | null)[];
  stop_reasons: (string | null)[];
  /** What else there is to say, such as what it waits for. */
  notice?: string;
  traceback?: string | null;
}

/** How a check stands; its suggestion is the best rate. */
export interface CheckMessage extends Status {
  type: "check";
  run: number;
  offset: number;
  /** Where the rows of each trial begin; the last one is in hand. */
  starts: number[];
  /** Present only when it changed. */
  detail?: CheckDetail;
}

/** All of a check, as the saved state carries it. */
export interface SavedCheck extends CheckMessage {
  data: DataView | ArrayBuffer | Uint8Array;
}

/** The traits that both sides know. */
export interface Traits {
  lr: number | null;
  lr_range: readonly [number, number] | null;
  smoothing: number;
  y_max: number | null;
  log_y: boolean;
  state: RunState;
  step: number;
  steps: number;
  suggestion: number | null;
  error: string | null;
  variable: string;
  figure: string;
  _range: [number, number];
  _detail: Detail;
  _legend: Legend;
  /** All of all runs; what is saved with the notebook. */
  _runs: SavedRun[] | null;
  /** Numbers of the runs that are not drawn. */
  _hidden: number[];
  _check: SavedCheck | null;
  /** Whether the kernel knows of a rate that was chosen by hand. */
  _picked: boolean;
}

export type Model = AnyModel<Traits>;

/** How a run stands; every message about rows carries it. */
export interface Status {
  state: RunState;
  step: number;
  steps: number;
  elapsed: number;
  error: string | null;
  suggestion: number | null;
}

/** Before anything has been started. */
export const NOT_STARTED: Status = {
  state: "idle",
  step: 0,
  steps: 0,
  elapsed: 0,
  error: null,
  suggestion: null,
};

export interface RowsMessage extends Partial<Status> {
  type: "rows" | "sync";
  run: number;
  offset: number;
  starts?: number[];
  /** Present only when the program moves the marker. */
  lr?: number | null;
  /** Present only when it changed. */
  detail?: Detail;
  /** In the answer to "hello", and with `detail`. */
  model_id?: string | null;
}

/** All of a run, as the saved state carries it. */
export interface SavedRun extends RowsMessage {
  data: DataView | ArrayBuffer | Uint8Array;
}

/** Which rows to send again. */
export interface Resync {
  run: number;
  from: number;
}

export interface ExportedMessage {
  type: "exported";
  ok: boolean;
  text: string;
}

export type FromKernel = RowsMessage | CheckMessage | ExportedMessage;

export function isUnderWay(state: RunState): boolean {
  return state === "running" || state === "paused";
}

const ENDED: ReadonlySet<RunState> = new Set(["finished", "diverged", "stopped", "failed"]);

export function hasEnded(state: RunState): boolean {
  return ENDED.has(state);
}
