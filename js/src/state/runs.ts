// The runs of a widget, the status of each, and which one is active.
import type { Span } from "../numeric/axis";
import {
  type Detail,
  hasEnded,
  isUnderWay,
  type Legend,
  NOT_STARTED,
  type RowsMessage,
  type SavedRun,
  type Status,
} from "../stream/protocol";
import { decodeRows, isCount, RowStore, type RunTable } from "../stream/rows";

export class Run {
  label = "";
  /** Index of the colour and dashes in which it is drawn while it is not the active run. */
  style = 0;
  status: Status = NOT_STARTED;
  detail: Detail = {};

  constructor(
    readonly number: number,
    readonly table: RunTable,
  ) {}

  /** The rates at the ends of its sweep; null until the kernel has sent them. */
  get span(): Span | null {
    const [low, high] = this.detail.span ?? [];
    return low === undefined || high === undefined ? null : { low, high };
  }

  updateStatus(changes: Partial<Status>): void {
    const status = { ...this.status };
    for (const key of Object.keys(status) as (keyof Status)[]) {
      if (changes[key] !== undefined) Object.assign(status, { [key]: changes[key] });
    }
    // Traits may be older than the rows, and each row is a step.
    status.step = Math.max(status.step, this.table.length);
    this.status = status;
    if (hasEnded(status.state)) this.table.expect(status.step);
  }

  /** Status, detail and rows, as saved with the notebook. */
  saved(): SavedRun {
    return { type: "rows", ...this.table.saved(), ...this.status, detail: this.detail };
  }
}

export class Runs {
  readonly store = new RowStore();
  private readonly byNumber = new Map<number, Run>();
  private listedRuns: Run[] = [];
  /** The highest number in a legend so far; a run up to it that no legend names has been removed. */
  private highestNumber = 0;
  active: Run;

  constructor(legend: Legend) {
    this.active = this.run(legend.active);
    this.applyLegend(legend);
  }

  /** The runs that were started or added, in that order. */
  get list(): readonly Run[] {
    return this.listedRuns;
  }

  /** Whether any run is under way. */
  get underWay(): boolean {
    return [this.active, ...this.listedRuns].some((run) => isUnderWay(run.status.state));
  }

  /** Takes over the list of runs; all others are dropped. */
  applyLegend({ active, runs }: Legend): void {
    this.listedRuns = runs.map(([number, label, style]) => {
      const run = this.run(number);
      run.label = label;
      run.style = style;
      return run;
    });
    this.activate(active);
    this.highestNumber = Math.max(this.highestNumber, active, ...runs.map(([number]) => number));
    for (const [number, run] of this.byNumber) {
      if (run === this.active || this.listedRuns.includes(run) || number > this.highestNumber)
        continue;
      this.byNumber.delete(number);
      this.store.runs.delete(number);
    }
  }

  activate(number: number): void {
    this.active = this.run(number);
    this.store.active = number;
  }

  /** Takes in a message about a run; null if the run has been removed. */
  receive(message: RowsMessage | SavedRun, data: SavedRun["data"] | undefined): Run | null {
    const { run: number, offset, starts = [], detail } = message;
    if (!isCount(number) || (!this.byNumber.has(number) && number <= this.highestNumber))
      return null;
    this.store.accept({ run: number, offset, starts, data: decodeRows(data) });
    const run = this.run(number);
    if (detail) run.detail = detail;
    run.updateStatus(message);
    return run;
  }

  private run(number: number): Run {
    let run = this.byNumber.get(number);
    if (!run) {
      run = new Run(number, this.store.table(number));
      this.byNumber.set(number, run);
    }
    return run;
  }
}
