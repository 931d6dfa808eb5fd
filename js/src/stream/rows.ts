// The stream of rows from the kernel: what has arrived, what is missing, what to ask for again.
// Nothing here knows of a page; a row is (learning rate, raw loss).
import type { Resync } from "./protocol";

/** Rows of one run as a message or the saved state carries them. */
export interface Rows {
  run: number;
  /** Index of the first row in `data`. */
  offset: number;
  /** Offsets where sweeps of the run begin, ascending: those from `offset` to the end of `data`. */
  starts: readonly number[];
  /** Pairs lr, loss, one after the other. */
  data: Float64Array;
}

interface Gap {
  from: number;
  to: number;
}

/** The table of one run. Rows never change once written; a place not yet filled holds NaN. */
export class RunTable {
  /** Offsets where each sweep begins, ascending, the first one 0. */
  starts: readonly number[] = [0];
  /** Grows with every change; equal revisions mean equal rows. */
  revision = 0;
  /** Grows when a row that was there, or what it belongs to, changes: apart from that, rows are added. */
  rewritten = 0;
  private columns = { lr: new Float64Array(256), loss: new Float64Array(256) };
  private end = 0;
  private expected = 0;
  private gaps: Gap[] = [];

  constructor(readonly run: number) {}

  /** One past the last row held, holes included. */
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

  /** The first row that exists in the kernel and not here; null when nothing is known to be missing. */
  get missing(): number | null {
    return this.gaps[0]?.from ?? (this.end < this.expected ? this.end : null);
  }

  /** Notes that the kernel holds at least this many rows. */
  expect(count: number): void {
    this.expected = Math.max(this.expected, count);
  }

  /** Notes where further sweeps begin. Returns whether that is news. */
  addStarts(starts: readonly number[]): boolean {
    const before = this.starts;
    this.starts = merged(before, starts);
    const added = this.starts.length - before.length;
    if (added === 0) return false;
    this.revision++;
    if (this.starts.some((start, i) => start !== before[i] && start < this.end)) this.rewritten++;
    return true;
  }

  /** Writes rows at their offset; what is already held is skipped. Returns whether anything is new. */
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

  /** The rows as pairs lr, loss in a buffer of their own. */
  pairs(): Float64Array<ArrayBuffer> {
    const pairs = new Float64Array(2 * this.end);
    for (let i = 0; i < this.end; i++) {
      pairs[2 * i] = this.columns.lr[i]!;
      pairs[2 * i + 1] = this.columns.loss[i]!;
    }
    return pairs;
  }

  /** All of it, as the saved state carries it. */
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

/** How long an answer may take before it is asked for again, in milliseconds; doubles each time. */
const RETRY_AFTER = 1000;
/** A busy kernel answers every one of them, only later: patience grows up to this. */
const MAX_RETRY_AFTER = 30_000;

/** The tables of all runs, by number. */
export class RowStore {
  readonly runs = new Map<number, RunTable>();
  /** The number of the table to look at; null for the newest, which has the highest number. */
  active: number | null = null;
  private readonly requested = new Map<
    number,
    { from: number; until: number; retryAfter: number }
  >();

  /** The table to look at; null where there is none. */
  get current(): RunTable | null {
    return this.runs.get(this.active ?? Math.max(...this.runs.keys())) ?? null;
  }

  /** Whether rows are known to be missing. */
  get missing(): boolean {
    return [...this.runs.values()].some((table) => table.missing !== null);
  }

  /** The table of a run; a new number makes a new table. */
  table(run: number): RunTable {
    let table = this.runs.get(run);
    if (!table) {
      table = new RunTable(run);
      this.runs.set(run, table);
    }
    return table;
  }

  /** Takes rows in. Returns whether anything changed; rows that cannot be right are refused. */
  accept(rows: Rows): boolean {
    const { run, offset, starts, data } = rows;
    if (!isCount(run) || !isCount(offset) || data.length % 2 !== 0) return false;
    const isNew = !this.runs.has(run);
    const table = this.table(run);
    const newStarts = starts.every(isCount) && table.addStarts(starts);
    return table.write(offset, data) || newStarts || isNew;
  }

  /** What to ask the kernel for at this moment (milliseconds). */
  resync(now: number): Resync[] {
    const asks: Resync[] = [];
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

/** All of two ascending lists. One may say twice where a sweep begins: the first of them had no row. */
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

/** The pairs in a buffer from the wire (little-endian float64, alignment not guaranteed). */
export function decodeRows(buffer: DataView | ArrayBuffer | Uint8Array | undefined): Float64Array {
  if (!buffer) return new Float64Array(0);
  const bytes = ArrayBuffer.isView(buffer)
    ? new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
    : new Uint8Array(buffer);
  const complete = bytes.length - (bytes.length % 16);
  return new Float64Array(bytes.slice(0, complete).buffer);
}
