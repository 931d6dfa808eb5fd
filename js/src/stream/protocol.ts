// The messages between kernel and page, in both directions; lrwidget/stream/protocol.py too.
// tests/vectors/wire.json holds both files to the same messages, fields and names; docs/wire.md says
// which fact travels by message, which by trait, and why.
import type { AnyModel } from "@anywidget/types";

export const RUN_STATES = [
  "idle",
  "running",
  "paused",
  "finished",
  "diverged",
  "stopped",
  "failed",
] as const;
export type RunState = (typeof RUN_STATES)[number];

/** Binary data as a host hands it over: Colab's messages have Uint8Array, all others DataView. */
export type Bytes = DataView | ArrayBuffer | Uint8Array;

/** The actions on a single run. */
export const RUN_ACTIONS = ["activate", "rename", "remove"] as const;
export type RunAction = (typeof RUN_ACTIONS)[number];

export const COMMANDS = [
  "start",
  "pause",
  "resume",
  "stop",
  "unblock",
  "reset",
  "apply",
  "check",
  "refine",
  "extend",
] as const;
export type Command = (typeof COMMANDS)[number];

/** The rates at which the loss begins to fall, is lowest, and has exploded. */
export interface Landmarks {
  falls_at?: number | null;
  minimum?: number | null;
  explodes_at?: number | null;
}

/** The source that constructs one of torch's optimizers, without parameters and rate. */
export interface OptimizerRecipe {
  /** "torch.optim.Adam" */
  name: string;
  /** "weight_decay=0.01" */
  arguments: string;
  /** The momentum argument that a schedule can change. */
  momentum: "momentum" | "betas" | null;
}

/**
 * What a run has to say beyond its numbers. The kernel sends all of it; a notebook that an older
 * version saved may lack some.
 */
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
  /** Whether the last button was refused for the sweep of another widget, which "unblock" ends. */
  blocked?: boolean;
  /** Why this process cannot train; empty if it can. */
  elsewhere?: string;
  /** Whether the sweep can be extended where it runs. */
  extends?: boolean;
  /** The number of steps that an extension adds to each sweep. */
  adds?: number;
  /** Steps that a refinement may take, those of the sweep included; 0 if it cannot run. */
  budget?: number;
}

/** The list of runs. It has the active run only from its start on. */
export interface Legend {
  active: number;
  /** Number, label and style. */
  runs: [number, string, number][];
  /** Whether several runs may be under way at the same time. */
  parallel: boolean;
}

/** The details of a check; lists are in rising order of the rates. */
export interface CheckDetail {
  lrs: number[];
  /** Mean loss of the last fifth of the steps, or the last one on validation data; else null. */
  final_losses: (number | null)[];
  stop_reasons: (string | null)[];
  /** Further notes, such as what the check waits for. */
  notice?: string;
  traceback?: string | null;
}

/** A trial: all rows with its rate, except the first `dropped`, are its steps. */
export interface TrialDetail {
  lr: number;
  /** Rows of an earlier attempt, which began anew. */
  dropped: number;
  /** Steps so far and the loss on held-out data, in rising order. */
  held_out: [number, number][];
  stop_reason: string | null;
}

/** The details of a refinement; trials are in the order of their starts. */
export interface RefinementDetail {
  /** The number of the run whose suggestion is refined. */
  sweep: number;
  /** Part of the budget. */
  sweep_steps: number;
  trials: TrialDetail[];
  /** The rate with the lowest held-out loss among the compared trials. */
  best: number | null;
  /** Of the chosen rate, at the end. */
  reason: string;
  confidence: "high" | "low" | null;
  /** The held-out loss before the first step. */
  untrained: number | null;
  /** The data for comparing trials, in words. */
  held_out: string;
  planned_steps: number | null;
  /** Size of the states that are kept to continue trials. */
  kept_bytes: number;
  kept_in: "device" | "cpu" | "disk" | "";
  traceback?: string | null;
  notice?: string;
}

/** Rows and status of several trials. */
export interface TrialsMessage<Kind extends string, Detail> extends Status {
  type: Kind;
  run: number;
  offset: number;
  starts: number[];
  /** Present only when it changed. */
  detail?: Detail;
  /** With `detail`. */
  model_id?: string | null;
}

/** The status of a check; `starts` are the first rows of the trials, and the last is in progress. */
export type CheckMessage = TrialsMessage<"check", CheckDetail>;

/** The status of a refinement; its steps are the budget, its suggestion is the refined rate. */
export interface RefinementMessage extends TrialsMessage<"refinement", RefinementDetail> {
  /** Present only when the program moves the marker. */
  lr?: number | null;
}

interface WithData {
  data: Bytes;
}

/** A whole check, as the saved state holds it. */
export type SavedCheck = CheckMessage & WithData;

/** A whole refinement, as the saved state holds it. */
export type SavedRefinement = RefinementMessage & WithData;

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
  /** All rows of all runs; saved with the notebook. */
  _runs: SavedRun[] | null;
  /** Numbers of the runs that are not drawn. */
  _hidden: number[];
  _check: SavedCheck | null;
  _refinement: SavedRefinement | null;
  /** Whether the kernel knows of a rate that was chosen by hand. */
  _picked: boolean;
}

export type Model = AnyModel<Traits>;

/** The status of a run; every message with rows has it. */
export interface Status {
  state: RunState;
  step: number;
  steps: number;
  elapsed: number;
  error: string | null;
  suggestion: number | null;
}

/** The status before the first start. */
export const NOT_STARTED: Status = {
  state: "idle",
  step: 0,
  steps: 0,
  elapsed: 0,
  error: null,
  suggestion: null,
};

/** Rows of a run: "rows" while it runs, "sync" as the answer to "hello". */
export interface RowsMessage extends Partial<Status> {
  type: "rows" | "sync";
  run: number;
  offset: number;
  starts?: number[];
  /** Present only when the program moves the marker. */
  lr?: number | null;
  /** Present only when it changed. */
  detail?: Detail;
  /** The id of the widget's own model: in the answer to "hello", and with `detail`. */
  model_id?: string | null;
}

/** A whole run, as the saved state holds it. */
export type SavedRun = RowsMessage & WithData;

/** The answer to "export". */
export interface ExportedMessage {
  type: "exported";
  ok: boolean;
  text: string;
}

export type FromKernel = RowsMessage | CheckMessage | RefinementMessage | ExportedMessage;

/** The page has its model and requests everything. */
export interface Hello {
  type: "hello";
}

/** The first missing row of a run, a check or a refinement. */
export interface MissingRows {
  run: number;
  from: number;
  /** Of a sweep where it is left out. */
  of?: "check" | "refinement";
}

/** Requests rows again. */
export interface Resync extends MissingRows {
  type: "resync";
}

/** A button was pressed. */
export interface CommandMessage {
  type: "command";
  name: Command;
}

/** Requests an action on a run. */
export interface RunMessage {
  type: "run";
  action: RunAction;
  run: number;
  /** The new label, with "rename". */
  label?: string;
}

/** The user picked the rate that is already chosen; any other pick is a change of `lr`. */
export interface Pick {
  type: "pick";
  lr: number;
}

/** Requests the chosen rate in a variable. */
export interface Export {
  type: "export";
  name: string;
}

export type FromPage = Hello | Resync | CommandMessage | RunMessage | Pick | Export;

export function isUnderWay(state: RunState): boolean {
  return state === "running" || state === "paused";
}

/** The status to show: what a kernel that has ended has left behind counts as stopped. */
export function leftBehind(status: Status, kernelEnded: boolean): Status {
  return kernelEnded && isUnderWay(status.state) ? { ...status, state: "stopped" } : status;
}

const ENDED: ReadonlySet<RunState> = new Set(["finished", "diverged", "stopped", "failed"]);

export function hasEnded(state: RunState): boolean {
  return ENDED.has(state);
}
