// One per widget model, shared by all its views: the rows, how the run stands, what the user chose,
// and the conversation with the kernel. Views read it and are told when it changed.
import { clampRate, partBetween, type Span, union } from "../numeric/axis";
import type {
  Command,
  Detail,
  FromKernel,
  FromPage,
  Model,
  RowsMessage,
  RunAction,
  SavedRun,
  Status,
  Traits,
} from "../stream/protocol";
import type { RowStore } from "../stream/rows";
import { syncTraits, type SyncedTraits } from "./synced-trait";
import { Check } from "./check";
import { Reach } from "./reach";
import { type Run, Runs } from "./runs";

/** The traits that say how the active run stands. */
const STATUS = ["state", "step", "steps", "suggestion", "error"] as const;
/** The traits that both page and kernel set. */
const SYNCED = ["lr", "lr_range", "smoothing", "y_max", "log_y", "variable", "_hidden"] as const;

export class Session extends Reach {
  readonly runs: Runs;
  readonly check = new Check();
  readonly traits: SyncedTraits<(typeof SYNCED)[number]>;
  dragging = false;
  /** The id of the widget's own model, known once the kernel has spoken. */
  modelId: string | null = null;

  private picked = false;
  private retry: ReturnType<typeof setTimeout> | null = null;

  constructor(model: Model) {
    super(model);
    this.runs = new Runs(model.get("_legend"));
    this.traits = syncTraits(
      model,
      SYNCED,
      (changes) => {
        this.save(changes);
      },
      () => {
        this.changed();
      },
      {
        // What the program chose before it has heard of the user's pick is out of date.
        lr: (lr) => {
          const outdated = this.picked && !model.get("_picked") && lr === model.get("suggestion");
          return !this.dragging && !outdated;
        },
        lr_range: () => !this.dragging,
      },
    );
    this.takeSaved(model.get("_runs"));
    this.takeTraits();
    this.check.takeSaved(model.get("_check"));
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

  /** How the active run stands. */
  get status(): Status {
    return this.runs.active.status;
  }

  /** What else there is to say of the active run. */
  get detail(): Detail {
    return this.runs.active.detail;
  }

  /** The rates at the ends of the active run's sweep. */
  get span(): Span {
    const [low, high] = this.model.get("_range");
    return this.runs.active.span ?? { low, high };
  }

  /** All rates that there are to show. */
  get whole(): Span {
    return union([this.span, ...this.others.flatMap(({ span }) => span ?? [])]);
  }

  /** The rates at the ends of the x axis. */
  get shown(): Span {
    const { zoom, whole } = this;
    return (zoom && partBetween(zoom.low, zoom.high, whole)) ?? whole;
  }

  /** The status to show: where the kernel has gone in mid-run, nobody goes on with it. */
  get standing(): Status {
    const { status, orphaned } = this;
    const left = orphaned && (status.state === "running" || status.state === "paused");
    return left ? { ...status, state: "stopped" } : status;
  }

  /** Whether a sweep or a check is under way. */
  get busy(): boolean {
    return this.runs.underWay || this.check.underWay;
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
    return !this.connected || !this.busy || this.model.get("_legend").parallel;
  }

  get figure(): string {
    return this.model.get("figure");
  }

  /** What is saved with the notebook as the page knows it; messages tell it more than the traits. */
  saved(): Partial<Traits> {
    const { runs, lr, detail, status, check } = this;
    const all = new Set([...runs.list, runs.active]);
    return {
      ...status,
      lr,
      _detail: detail,
      _legend: { ...this.model.get("_legend"), active: runs.active.number },
      _runs: [...all].map((run) => run.saved()),
      _check: check.saved(),
    };
  }

  command(name: Command): void {
    this.request(name, { type: "command", name });
  }

  /** Draws a run beside the active one, or does not. */
  setHidden(run: Run, hidden: boolean): void {
    const { _hidden } = this.traits;
    const others = _hidden.value.filter((number) => number !== run.number);
    _hidden.set(hidden ? [...others, run.number] : others);
  }

  /** Makes another run the active one; without a kernel only the page knows of it. */
  activate(run: Run): void {
    this.setHidden(run, false);
    this.look();
    if (this.connected) {
      this.ask("activate", run);
      return;
    }
    const { active } = this.runs;
    const untouched = this.lr === null || this.lr === active.status.suggestion;
    this.runs.activate(run.number);
    if (untouched) this.traits.lr.value = run.status.suggestion;
    this.changed();
  }

  /** Asks the kernel to do something with a run. */
  ask(action: RunAction, { number: run }: Run, label?: string): void {
    const more = label === undefined ? {} : { label };
    this.request(action, { type: "run", action, run, ...more });
  }

  /** Asks the kernel to put the chosen rate into a variable of the notebook. */
  export(name: string): void {
    const { lr, variable } = this.traits;
    lr.flush();
    variable.set(name);
    variable.flush();
    this.request("export", { type: "export", name });
  }

  /** The user chose a rate; from now on only the user moves the marker. */
  pick(lr: number): void {
    this.picked = true;
    const clamped = clampRate(lr, this.span);
    // The same rate would not leave the page; that it was picked must.
    if (clamped === this.lr) {
      if (!this.dragging) this.send({ type: "pick", lr });
      return;
    }
    this.note = null;
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
      const [low, high] = [clampRate(range[0], this.span), clampRate(range[1], this.span)];
      if (!(low < high)) return;
      range = [low, high];
    }
    this.traits.lr_range.set(range);
  }

  private listen(): void {
    const { model } = this;
    model.on("msg:custom", (content: FromKernel, buffers: DataView[]) => {
      switch (content.type) {
        case "exported":
          this.requests.settle("export");
          this.say(content.ok, content.text);
          break;
        case "check":
          this.modelId ??= content.model_id ?? null;
          this.check.take(content, buffers[0]);
          this.heard();
          break;
        case "rows":
        case "sync":
          this.takeRows(content, buffers[0]);
      }
    });
    for (const name of [...STATUS, "_detail"] as const) {
      model.on(`change:${name}`, () => {
        this.takeTraits();
        this.changed();
      });
    }
    model.on("change:_legend", () => {
      this.takeTraits();
      this.requests.settle("activate", "rename", "remove");
      this.changed();
    });
    model.on("change:_picked", () => {
      // It has heard of it; where it was told to forget everything, the page does so as well.
      this.picked = model.get("_picked");
    });
    model.on("change:_runs", () => {
      this.takeSaved(model.get("_runs"));
      this.changed();
    });
    model.on("change:_check", () => {
      this.check.takeSaved(model.get("_check"));
      this.changed();
    });
    model.on("change:_range", () => {
      this.changed();
    });
  }

  private takeRows(message: RowsMessage, buffer: DataView | undefined): void {
    this.modelId ??= message.model_id ?? null;
    const before = this.status;
    const run = this.runs.take(message, buffer);
    if (run === this.runs.active) {
      if (typeof message.lr === "number" && !this.picked && !this.dragging)
        this.traits.lr.value = message.lr;
      this.statusTaken(before);
    }
    this.heard();
  }

  private heard(): void {
    if (!this.busy) this.requests.settle("stop");
    if (!this.connected) this.setKernel("unseen");
    this.askForMissing();
    this.changed();
  }

  private takeSaved(saved: SavedRun[] | null | undefined): void {
    for (const run of saved ?? []) this.runs.take(run, run.data);
  }

  /** What the traits say is of the active run. */
  private takeTraits(): void {
    const { model, runs } = this;
    runs.takeLegend(model.get("_legend"));
    const before = this.status;
    runs.active.detail = model.get("_detail");
    runs.active.take(this.statusFromTraits());
    this.statusTaken(before);
  }

  private statusTaken(before: Status): void {
    const { status } = this;
    // While a run streams, only a new state answers a button; at rest, any message does.
    const answered = status.state !== before.state || before.state !== "running";
    const { requests, busy } = this;
    const waits = requests.waitsFor("export") || (busy && requests.waitsFor("stop"));
    if (answered && !waits) requests.settle();
  }

  private statusFromTraits(): Partial<Status> {
    const { model } = this;
    // The traits know the time only at the end of a run; until then messages tell it.
    const { elapsed } = model.get("_detail");
    const traits = Object.fromEntries(STATUS.map((name) => [name, model.get(name)]));
    return elapsed ? { ...traits, elapsed } : traits;
  }

  private askForMissing(): void {
    const now = performance.now();
    for (const ask of [...this.store.resync(now), ...this.check.resync(now)]) {
      this.send({ type: "resync", ...ask });
    }
    if (this.retry !== null || !(this.store.missing || this.check.store.missing)) return;
    this.retry = setTimeout(() => {
      this.retry = null;
      this.askForMissing();
    }, 500);
  }
}
