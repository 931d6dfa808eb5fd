// The state of one widget model, shared by all its views: runs, trials, and what the user has chosen.
// Views read it and are called back after every change.
import { clampRate, partBetween, type Span, union } from "../numeric/axis";
import {
  type Bytes,
  type Command,
  type Detail,
  type FromKernel,
  type FromPage,
  leftBehind,
  type MissingRows,
  type Model,
  type RowsMessage,
  type RunAction,
  type SavedRun,
  type Status,
  type Traits,
} from "../stream/protocol";
import type { RowStore } from "../stream/rows";
import { syncTraits, type SyncedTraits } from "./synced-trait";
import { Check } from "./check";
import { KernelConnection } from "./kernel-connection";
import { Refinement } from "./refinement";
import { type Run, Runs } from "./runs";
import { ViewState } from "./view-state";

/** The traits that hold the status of the active run. */
const STATUS = ["state", "step", "steps", "suggestion", "error"] as const;
/** The traits that both page and kernel set. */
const SYNCED = ["lr", "lr_range", "smoothing", "y_max", "log_y", "variable", "_hidden"] as const;

export class Session {
  readonly view = new ViewState();
  readonly connection: KernelConnection;
  readonly runs: Runs;
  readonly check = new Check(() => this.connection.kernelEnded);
  readonly refinement = new Refinement(() => this.connection.kernelEnded);
  readonly traits: SyncedTraits<(typeof SYNCED)[number]>;
  dragging = false;
  /** The id of the widget's own model; null until the kernel has sent it. */
  modelId: string | null = null;

  private picked = false;
  private retry: ReturnType<typeof setTimeout> | null = null;

  constructor(private readonly model: Model) {
    this.connection = new KernelConnection(model, this.view);
    this.runs = new Runs(model.get("_legend"));
    this.traits = syncTraits(
      model,
      SYNCED,
      (changes) => {
        this.connection.saveTraits(changes);
      },
      () => {
        this.view.changed();
      },
      {
        // What the kernel set before it received the user's pick is outdated.
        lr: (lr) => {
          const programs = [model.get("suggestion"), model.get("_refinement")?.suggestion];
          const outdated = this.picked && !model.get("_picked") && programs.includes(lr);
          return !this.dragging && !outdated;
        },
        lr_range: () => !this.dragging,
      },
    );
    this.loadSavedRuns(model.get("_runs"));
    this.readTraits();
    this.check.loadSaved(model.get("_check"));
    this.refinement.loadSaved(model.get("_refinement"));
    this.listen();
    model.send({ type: "hello" } satisfies FromPage);
  }

  get lr(): number | null {
    return this.traits.lr.value;
  }

  get lrRange(): readonly [number, number] | null {
    return this.traits.lr_range.value;
  }

  /** The rows of all runs; `current` is the table of the active one. */
  get store(): RowStore {
    return this.runs.store;
  }

  get status(): Status {
    return this.runs.active.status;
  }

  get detail(): Detail {
    return this.runs.active.detail;
  }

  /** The rates at the ends of the active run's sweep. */
  get span(): Span {
    const [low, high] = this.model.get("_range");
    return this.runs.active.span ?? { low, high };
  }

  /** The rates that can be chosen: those of the sweep, and those that its refinement has tried. */
  get reach(): Span {
    const refined = this.refines(this.runs.active) ? this.refinement.span : null;
    return union([this.span, ...(refined ? [refined] : [])]);
  }

  /** The rates of all runs that are drawn. */
  get fullSpan(): Span {
    return union([this.reach, ...this.others.flatMap(({ span }) => span ?? [])]);
  }

  /** The refined rate of the active run; null without one, and where the suggestion has stayed. */
  get refinedRate(): number | null {
    const { suggestion } = this.refinement.status;
    const moved = suggestion !== this.status.suggestion;
    return moved && this.refines(this.runs.active) ? suggestion : null;
  }

  /** Whether the refinement is of this run. */
  refines(run: Run): boolean {
    return this.refinement.store.current !== null && this.refinement.detail.sweep === run.number;
  }

  /** The rates at the ends of the x axis. */
  get visibleSpan(): Span {
    const { fullSpan } = this;
    const { zoom } = this.view;
    return (zoom && partBetween(zoom.low, zoom.high, fullSpan)) ?? fullSpan;
  }

  /** The status to show: a run whose kernel has ended counts as stopped. */
  get displayedStatus(): Status {
    return leftBehind(this.status, this.connection.kernelEnded);
  }

  /** Whether a check or a refinement is under way. */
  get trying(): boolean {
    return this.check.underWay || this.refinement.underWay;
  }

  /** Whether a sweep, a check or a refinement is under way. */
  get underWay(): boolean {
    return this.runs.underWay || this.trying;
  }

  /** The runs that are drawn beside the active one. */
  get others(): Run[] {
    return this.runs.list.filter((run) => run !== this.runs.active && !this.isHidden(run));
  }

  isHidden(run: Run): boolean {
    return run !== this.runs.active && this.traits._hidden.value.includes(run.number);
  }

  /** Whether another run can be made the active one now. */
  get canActivate(): boolean {
    return !this.connection.connected || !this.underWay || this.model.get("_legend").parallel;
  }

  get figure(): string {
    return this.model.get("figure");
  }

  /** The state to save with the notebook; messages have brought more than the traits hold. */
  saved(): Partial<Traits> {
    const { runs, lr, detail, status, check, refinement } = this;
    const all = new Set([...runs.list, runs.active]);
    return {
      ...status,
      lr,
      _detail: detail,
      _legend: { ...this.model.get("_legend"), active: runs.active.number },
      _runs: [...all].map((run) => run.saved()),
      _check: check.saved(),
      _refinement: refinement.saved(),
    };
  }

  command(name: Command): void {
    // The second click of a double click begins nothing more.
    if (name === "extend" || !this.connection.requests.waitsFor(name))
      this.connection.request(name, { type: "command", name });
  }

  /** Hides a run, or draws it beside the active one. */
  setHidden(run: Run, hidden: boolean): void {
    const { _hidden } = this.traits;
    const others = _hidden.value.filter((number) => number !== run.number);
    _hidden.set(hidden ? [...others, run.number] : others);
  }

  /** Makes another run the active one; without a kernel, only in this page. */
  activate(run: Run): void {
    this.setHidden(run, false);
    this.connection.probeKernel();
    if (this.connection.connected) {
      this.requestRunAction("activate", run);
      return;
    }
    const { active } = this.runs;
    const unpicked = this.lr === null || this.lr === this.rateOf(active);
    this.runs.activate(run.number);
    if (unpicked) this.traits.lr.value = this.rateOf(run);
    this.view.changed();
  }

  requestRunAction(action: RunAction, { number: run }: Run, label?: string): void {
    const more = label === undefined ? {} : { label };
    this.connection.request(action, { type: "run", action, run, ...more });
  }

  /** Asks the kernel to put the chosen rate into a variable of the notebook. */
  export(name: string): void {
    const { lr, variable } = this.traits;
    lr.flush();
    variable.set(name);
    variable.flush();
    this.connection.request("export", { type: "export", name });
  }

  /** Takes the rate that the user has chosen; from now on only the user moves the marker. */
  pick(lr: number): void {
    this.picked = true;
    const clamped = clampRate(lr, this.reach);
    // An unchanged trait is not sent, but the kernel must learn that the rate was picked.
    if (clamped === this.lr) {
      if (this.dragging) return;
      this.connection.send({ type: "pick", lr });
      // marimo runs the cells that read a trait when the page saves it, also unchanged.
      this.connection.saveTraits({ lr: clamped });
      return;
    }
    this.view.note = null;
    this.traits.lr.set(clamped);
  }

  startDrag(): void {
    this.dragging = true;
  }

  endDrag(): void {
    this.dragging = false;
    this.traits.lr.flush();
    this.traits.lr_range.flush();
  }

  setRange(range: readonly [number, number] | null): void {
    if (range) {
      const [low, high] = [clampRate(range[0], this.reach), clampRate(range[1], this.reach)];
      if (!(low < high)) return;
      range = [low, high];
    }
    this.traits.lr_range.set(range);
  }

  private listen(): void {
    const { model } = this;
    model.on("msg:custom", (content: FromKernel, buffers?: Bytes[]) => {
      switch (content.type) {
        case "exported":
          this.connection.requests.settle("export");
          this.view.notify(content.ok, content.text);
          break;
        case "check":
          this.modelId ??= content.model_id ?? null;
          this.check.receive(content, buffers?.[0]);
          this.afterMessage();
          break;
        case "refinement":
          this.modelId ??= content.model_id ?? null;
          this.refinement.receive(content, buffers?.[0]);
          this.moveMarker(content.lr);
          this.afterMessage();
          break;
        case "rows":
        case "sync":
          this.receiveRows(content, buffers?.[0]);
      }
    });
    const onChange = (name: keyof Traits, read?: () => void): void => {
      model.on(`change:${name}`, () => {
        read?.();
        this.view.changed();
      });
    };
    for (const name of [...STATUS, "_detail"] as const) {
      onChange(name, () => {
        this.readTraits();
      });
    }
    onChange("_legend", () => {
      this.readTraits();
      this.connection.requests.settle("activate", "rename", "remove");
    });
    onChange("_picked", () => {
      // True once the kernel has received a pick, false again when it has taken one back.
      this.picked = model.get("_picked");
      // The rate may have come before, and looked outdated.
      if (!this.picked && !this.dragging) this.traits.lr.value = model.get("lr");
    });
    onChange("_runs", () => {
      this.loadSavedRuns(model.get("_runs"));
    });
    onChange("_check", () => {
      this.check.loadSaved(model.get("_check"));
    });
    onChange("_refinement", () => {
      this.refinement.loadSaved(model.get("_refinement"));
    });
    onChange("_range");
  }

  private receiveRows(message: RowsMessage, buffer: Bytes | undefined): void {
    this.modelId ??= message.model_id ?? null;
    const before = this.status;
    const run = this.runs.receive(message, buffer);
    if (run === this.runs.active) {
      this.moveMarker(message.lr);
      this.afterStatus(before);
    }
    // A refusal, which changes no state.
    if (message.detail?.notice) this.connection.requests.settle();
    this.afterMessage();
  }

  /** The rate that the program chooses for a run: the refined one, else the suggestion. */
  private rateOf(run: Run): number | null {
    const { status } = this.refinement;
    const ended = status.state === "finished" || status.state === "stopped";
    return this.refines(run) && ended ? status.suggestion : run.status.suggestion;
  }

  /** Moves the marker as the program asks for it, unless the user has picked. */
  private moveMarker(lr: number | null | undefined): void {
    if (typeof lr === "number" && !this.picked && !this.dragging) this.traits.lr.value = lr;
  }

  private afterMessage(): void {
    if (!this.underWay) this.connection.requests.settle("stop");
    if (!this.connection.connected) this.connection.setKernel("unseen");
    this.requestMissing();
    this.view.changed();
  }

  private loadSavedRuns(saved: SavedRun[] | null | undefined): void {
    for (const run of saved ?? []) this.runs.receive(run, run.data);
  }

  /** Reads the traits, which describe the active run. */
  private readTraits(): void {
    const { model, runs } = this;
    runs.applyLegend(model.get("_legend"));
    const before = this.status;
    runs.active.detail = model.get("_detail");
    runs.active.updateStatus(this.statusFromTraits());
    this.afterStatus(before);
  }

  private afterStatus(before: Status): void {
    const { status } = this;
    // During a run only a change of state answers a request; otherwise any message does.
    const answered = status.state !== before.state || before.state !== "running";
    const { underWay } = this;
    const { requests } = this.connection;
    const stillWaiting = requests.waitsFor("export") || (underWay && requests.waitsFor("stop"));
    if (answered && !stillWaiting) requests.settle();
  }

  private statusFromTraits(): Partial<Status> {
    const { model } = this;
    // The traits hold the elapsed time only after the end of a run; until then messages carry it.
    const { elapsed } = model.get("_detail");
    const traits = Object.fromEntries(STATUS.map((name) => [name, model.get(name)]));
    return elapsed ? { ...traits, elapsed } : traits;
  }

  private requestMissing(): void {
    const now = performance.now();
    const all = [this.store, this.check, this.refinement];
    for (const ask of all.flatMap<MissingRows>((rows) => rows.resync(now))) {
      this.connection.send({ type: "resync", ...ask });
    }
    const stores = [this.store, this.check.store, this.refinement.store];
    if (this.retry !== null || !stores.some(({ missing }) => missing)) return;
    this.retry = setTimeout(() => {
      this.retry = null;
      this.requestMissing();
    }, 500);
  }
}
