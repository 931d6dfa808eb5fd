// The runs of a widget: which there are, how each stands, and which of them is the active one.
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
  /** Which way of drawing it is its own, where it is not the active run. */
  style = 0;
  status: Status = NOT_STARTED;
  detail: Detail = {};

  constructor(
    readonly number: number,
    readonly table: RunTable,
  ) {}

  /** The rates at the ends of its sweep; null before the kernel has said. */
  get span(): Span | null {
    const [low, high] = this.detail.span ?? [];
    return low === undefined || high === undefined ? null : { low, high };
  }

  take(news: Partial<Status>): void {
    const status = { ...this.status };
    for (const key of Object.keys(status) as (keyof Status)[]) {
      if (news[key] !== undefined) Object.assign(status, { [key]: news[key] });
    }
    // A step for each row at least: traits may be older than the rows.
    status.step = Math.max(status.step, this.table.length);
    this.status = status;
    if (hasEnded(status.state)) this.table.expect(status.step);
  }

  /** All of it, as the saved state carries it. */
  saved(): SavedRun {
    return { type: "rows", ...this.table.saved(), ...this.status, detail: this.detail };
  }
}

export class Runs {
  readonly store = new RowStore();
  private readonly known = new Map<number, Run>();
  private listed: Run[] = [];
  /** The highest number that a legend has named: what is not named any more up to it is gone. */
  private top = 0;
  active: Run;

  constructor(legend: Legend) {
    this.active = this.run(legend.active);
    this.takeLegend(legend);
  }

  /** Those that were started or added, in that order. */
  get list(): readonly Run[] {
    return this.listed;
  }

  /** Whether any of them is under way. */
  get underWay(): boolean {
    return [this.active, ...this.listed].some((run) => isUnderWay(run.status.state));
  }

  /** Takes over which runs there are; the others are forgotten. */
  takeLegend({ active, runs }: Legend): void {
    this.listed = runs.map(([number, label, style]) => {
      const run = this.run(number);
      run.label = label;
      run.style = style;
      return run;
    });
    this.activate(active);
    this.top = Math.max(this.top, active, ...runs.map(([number]) => number));
    for (const [number, run] of this.known) {
      if (run === this.active || this.listed.includes(run) || number > this.top) continue;
      this.known.delete(number);
      this.store.runs.delete(number);
    }
  }

  activate(number: number): void {
    this.active = this.run(number);
    this.store.active = number;
  }

  /** Takes in what the kernel says of a run; null where that run is gone. */
  take(message: RowsMessage | SavedRun, data: SavedRun["data"] | undefined): Run | null {
    const { run: number, offset, starts = [], detail } = message;
    if (!isCount(number) || (!this.known.has(number) && number <= this.top)) return null;
    this.store.accept({ run: number, offset, starts, data: decodeRows(data) });
    const run = this.run(number);
    if (detail) run.detail = detail;
    run.take(message);
    return run;
  }

  private run(number: number): Run {
    let run = this.known.get(number);
    if (!run) {
      run = new Run(number, this.store.table(number));
      this.known.set(number, run);
    }
    return run;
  }
}
