// The rows from the kernel: which have arrived, which are missing and must be requested again.
// A row is (learning rate, raw loss).
import type { Bytes, MissingRows } from "./protocol";

/** Rows of one run, from a message or from the saved notebook. */
export interface Rows {
  run: number;
  /** Index of the first row in `data`. */
  offset: number;
  /** Offsets where sweeps of the run begin, ascending: those from `offset` to the end of `data`. */
  starts: readonly number[];
  /** lr and loss of each row in turn. */
  data: Float64Array;
}

interface Gap {
  from: number;
  to: number;
}

/** The rows of one run. A row never changes once written; a missing row is NaN. */
export class RunTable {
  /** Offsets where each sweep begins, ascending, the first one 0. */
  starts: readonly number[] = [0];
  /** Grows with every change; equal revisions mean equal rows. */
  revision = 0;
  /** Grows when a row before the end, or the sweep that it belongs to, changes. */
  rewritten = 0;
  private columns = { lr: new Float64Array(256), loss: new Float64Array(256) };
  private end = 0;
  private expected = 0;
  private gaps: Gap[] = [];

  constructor(readonly run: number) {}

  /** One past the last row that has arrived, missing rows included. */
  get length(): number {
    return this.end;
  }

  /** How many sweeps have rows. */
  get sweeps(): number {
    return this.starts.filter((start) => start < this.end).length;
  }

  /** The rates of all rows, in order, NaN where a row is missing. A view: read it, do not keep it. */
  get lr(): Float64Array {
    return this.columns.lr.subarray(0, this.end);
  }

  /** The raw losses of all rows, in order, NaN where a row is missing. */
  get loss(): Float64Array {
    return this.columns.loss.subarray(0, this.end);
  }

  /** The first row that exists in the kernel and not here; null if none is known to be missing. */
  get missing(): number | null {
    return this.gaps[0]?.from ?? (this.end < this.expected ? this.end : null);
  }

  /** Notes that the kernel holds at least this many rows. */
  expect(count: number): void {
    this.expected = Math.max(this.expected, count);
  }

  /** Adds offsets where sweeps begin. Returns whether any of them is new. */
  addStarts(starts: readonly number[]): boolean {
    const before = this.starts;
    this.starts = merged(before, starts);
    const added = this.starts.length - before.length;
    if (added === 0) return false;
    this.revision++;
    if (this.starts.some((start, i) => start !== before[i] && start < this.end)) this.rewritten++;
    return true;
  }

  /** Writes rows at their offset, except those that are here already. Returns whether any is new. */
  write(offset: number, data: Float64Array): boolean {
    const stop = offset + data.length / 2;
    if (stop === offset) return false;
    let changed = false;
    const holes: Gap[] = [];
    for (const hole of this.gaps) {
      const from = Math.max(hole.from, offset);
      const to = Math.min(hole.to, stop);
      if (from >= to) {
        holes.push(hole);
        continue;
      }
      this.copy(from, to, offset, data);
      changed = true;
      this.rewritten++;
      if (hole.from < from) holes.push({ from: hole.from, to: from });
      if (to < hole.to) holes.push({ from: to, to: hole.to });
    }
    if (stop > this.end) {
      this.reserve(stop);
      if (offset > this.end) {
        holes.push({ from: this.end, to: offset });
        this.columns.lr.fill(NaN, this.end, offset);
        this.columns.loss.fill(NaN, this.end, offset);
      }
      this.copy(Math.max(offset, this.end), stop, offset, data);
      this.end = stop;
      changed = true;
    }
    this.gaps = holes;
    if (changed) this.revision++;
    return changed;
  }

  /** A copy of the rows: lr and loss of each row in turn. */
  pairs(): Float64Array<ArrayBuffer> {
    const pairs = new Float64Array(2 * this.end);
    for (let i = 0; i < this.end; i++) {
      pairs[2 * i] = this.columns.lr[i]!;
      pairs[2 * i + 1] = this.columns.loss[i]!;
    }
    return pairs;
  }

  /** All rows, as saved with the notebook. */
  saved(): { run: number; offset: 0; starts: number[]; data: DataView } {
    const data = new DataView(this.pairs().buffer);
    return { run: this.run, offset: 0, starts: [...this.starts], data };
  }

  private copy(from: number, to: number, offset: number, data: Float64Array): void {
    const { lr, loss } = this.columns;
    for (let i = from; i < to; i++) {
      lr[i] = data[2 * (i - offset)]!;
      loss[i] = data[2 * (i - offset) + 1]!;
    }
  }

  private reserve(size: number): void {
    const { lr, loss } = this.columns;
    if (size <= lr.length) return;
    const capacity = Math.max(size, 2 * lr.length);
    this.columns = { lr: new Float64Array(capacity), loss: new Float64Array(capacity) };
    this.columns.lr.set(lr.subarray(0, this.end));
    this.columns.loss.set(loss.subarray(0, this.end));
  }
}

/** Missing rows are requested again after this many milliseconds; doubles each time. */
const RETRY_AFTER = 1000;
/** The interval grows up to this, since a busy kernel answers every request in the end. */
const MAX_RETRY_AFTER = 30_000;

/** The tables of all runs, by number. */
export class RowStore {
  readonly runs = new Map<number, RunTable>();
  /** The number of the current table; null for the newest, which has the highest number. */
  active: number | null = null;
  private readonly requested = new Map<
    number,
    { from: number; until: number; retryAfter: number }
  >();

  /** The table of the active run; null if there is none. */
  get current(): RunTable | null {
    return this.runs.get(this.active ?? Math.max(...this.runs.keys())) ?? null;
  }

  /** Whether rows are known to be missing. */
  get missing(): boolean {
    return [...this.runs.values()].some((table) => table.missing !== null);
  }

  /** The table of a run, created if there is none. */
  table(run: number): RunTable {
    let table = this.runs.get(run);
    if (!table) {
      table = new RunTable(run);
      this.runs.set(run, table);
    }
    return table;
  }

  /** Takes in rows. Returns whether anything changed; malformed rows are refused. */
  accept(rows: Rows): boolean {
    const { run, offset, starts, data } = rows;
    if (!isCount(run) || !isCount(offset) || data.length % 2 !== 0) return false;
    const isNew = !this.runs.has(run);
    const table = this.table(run);
    const newStarts = starts.every(isCount) && table.addStarts(starts);
    return table.write(offset, data) || newStarts || isNew;
  }

  /** The missing rows to request at this time (milliseconds). */
  resync(now: number): MissingRows[] {
    const asks: MissingRows[] = [];
    for (const { run, missing: from } of this.runs.values()) {
      if (from === null) {
        this.requested.delete(run);
        continue;
      }
      const before = this.requested.get(run);
      const same = before?.from === from ? before : null;
      if (same && now < same.until) continue;
      const retryAfter = same ? Math.min(2 * same.retryAfter, MAX_RETRY_AFTER) : RETRY_AFTER;
      this.requested.set(run, { from, until: now + retryAfter, retryAfter });
      asks.push({ run, from });
    }
    return asks;
  }
}

/** The union of two ascending lists. A list may hold an offset twice: the first of those sweeps has no row. */
function merged(one: readonly number[], other: readonly number[]): readonly number[] {
  const result: number[] = [];
  for (let i = 0, j = 0; i < one.length || j < other.length;) {
    const [a, b] = [one[i] ?? Infinity, other[j] ?? Infinity];
    result.push(Math.min(a, b));
    if (a <= b) i++;
    if (b <= a) j++;
  }
  return result;
}

export function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** The numbers in the buffer of a message: little-endian float64, perhaps not aligned. */
export function decodeRows(buffer: Bytes | undefined): Float64Array {
  if (!buffer) return new Float64Array(0);
  const bytes = ArrayBuffer.isView(buffer)
    ? new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
    : new Uint8Array(buffer);
  const complete = bytes.length - (bytes.length % 16);
  return new Float64Array(bytes.slice(0, complete).buffer);
}
