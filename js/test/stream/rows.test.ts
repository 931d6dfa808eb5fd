import { describe, expect, it } from "vitest";
import { decodeRows, type Rows, RowStore } from "../../src/stream/rows";
import { below, seeded } from "../random";

function rowsOf(run: number, from: number, to: number): Rows {
  const data = new Float64Array(2 * (to - from));
  for (let i = from; i < to; i++) {
    data[2 * (i - from)] = run + 1e-6 * (i + 1);
    data[2 * (i - from) + 1] = Math.sin(i);
  }
  return { run, offset: from, starts: [0], data };
}

describe("RowStore", () => {
  it("appends rows that arrive in order", () => {
    const store = new RowStore();
    expect(store.accept(rowsOf(1, 0, 3))).toBe(true);
    expect(store.accept(rowsOf(1, 3, 5))).toBe(true);
    expect(store.current?.pairs()).toEqual(rowsOf(1, 0, 5).data);
    expect(store.resync(0)).toEqual([]);
  });

  it("keeps and shows rows beyond a gap, and requests the gap at growing intervals", () => {
    const store = new RowStore();
    store.accept(rowsOf(1, 0, 2));
    store.accept(rowsOf(1, 5, 7));
    expect(store.current?.length).toBe(7);
    for (const column of [store.current!.lr, store.current!.loss])
      expect([...column.subarray(2, 5)]).toEqual([NaN, NaN, NaN]);
    expect(store.current?.loss[5]).toBe(Math.sin(5));
    expect(store.resync(0)).toEqual([{ run: 1, from: 2 }]);
    expect(store.resync(999)).toEqual([]);
    expect(store.resync(1000)).toEqual([{ run: 1, from: 2 }]);
    expect(store.resync(2999)).toEqual([]);
    expect(store.resync(3000)).toEqual([{ run: 1, from: 2 }]);
    store.accept(rowsOf(1, 2, 4));
    expect(store.resync(3001)).toEqual([{ run: 1, from: 4 }]);
    store.accept(rowsOf(1, 0, 7));
    expect(store.resync(5000)).toEqual([]);
    expect(store.current?.pairs()).toEqual(rowsOf(1, 0, 7).data);
  });

  it("requests a gap ever more rarely if it is not filled", () => {
    const store = new RowStore();
    store.accept(rowsOf(1, 3, 4));
    const asked: number[] = [];
    for (let now = 0; now <= 121_000; now += 500)
      if (store.resync(now).length) asked.push(now / 1000);
    expect(asked).toEqual([0, 1, 3, 7, 15, 31, 61, 91, 121]);
  });

  it("requests rows at the end that the kernel is known to have", () => {
    const store = new RowStore();
    store.accept(rowsOf(1, 0, 4));
    store.current?.expect(6);
    expect(store.resync(0)).toEqual([{ run: 1, from: 4 }]);
    store.accept(rowsOf(1, 4, 6));
    expect(store.resync(2000)).toEqual([]);
  });

  it("ignores a repeated row", () => {
    const store = new RowStore();
    store.accept(rowsOf(1, 0, 3));
    const revision = store.current?.revision;
    const other = rowsOf(1, 0, 3);
    other.data.fill(7);
    expect(store.accept(other)).toBe(false);
    expect(store.current?.revision).toBe(revision);
    expect(store.current?.pairs()).toEqual(rowsOf(1, 0, 3).data);
  });

  it("keeps the rows that it has when a message repeats them before new ones", () => {
    const store = new RowStore();
    store.accept(rowsOf(1, 0, 3));
    const other = rowsOf(1, 1, 5);
    other.data.fill(7, 0, 4);
    expect(store.accept(other)).toBe(true);
    expect(store.current?.pairs()).toEqual(rowsOf(1, 0, 5).data);
  });

  it("starts a new table for a new run and keeps the earlier one", () => {
    const store = new RowStore();
    store.accept(rowsOf(1, 0, 3));
    expect(store.accept(rowsOf(2, 0, 0))).toBe(true);
    expect(store.current?.run).toBe(2);
    expect(store.current?.length).toBe(0);
    store.accept(rowsOf(1, 3, 4));
    expect(store.current?.run).toBe(2);
    expect(store.runs.get(1)?.length).toBe(4);
  });

  it("refuses messages without valid rows", () => {
    const store = new RowStore();
    expect(store.accept({ ...rowsOf(1, 0, 1), run: NaN })).toBe(false);
    expect(store.accept({ ...rowsOf(1, 0, 1), offset: -1 })).toBe(false);
    expect(store.accept({ ...rowsOf(1, 0, 1), data: new Float64Array(3) })).toBe(false);
    expect(store.current).toBeNull();
  });

  it("takes in the offsets of later sweeps", () => {
    const store = new RowStore();
    store.accept(rowsOf(1, 0, 4));
    store.accept({ ...rowsOf(1, 4, 5), starts: [0, 4] });
    expect(store.current?.starts).toEqual([0, 4]);
    store.accept({ ...rowsOf(1, 5, 6), starts: [] });
    expect(store.current?.starts).toEqual([0, 4]);
    store.accept({ ...rowsOf(1, 6, 9), starts: [8] });
    expect(store.current?.starts).toEqual([0, 4, 8]);
  });

  it("keeps two sweeps that begin at the same row, however often they are sent", () => {
    const store = new RowStore();
    store.accept(rowsOf(1, 0, 4));
    for (let time = 0; time < 2; time++) {
      store.accept({ ...rowsOf(1, 4, 6), starts: [4, 4] });
      expect(store.current?.starts).toEqual([0, 4, 4]);
    }
  });

  it("counts only changes before the last row as rewritten", () => {
    const store = new RowStore();
    const rewritten = (rows: Rows): number => {
      const before = store.table(1).rewritten;
      store.accept(rows);
      return store.table(1).rewritten - before;
    };
    expect(rewritten(rowsOf(1, 0, 4))).toBe(0);
    expect(rewritten({ ...rowsOf(1, 4, 6), starts: [5] })).toBe(0);
    expect(rewritten({ ...rowsOf(1, 6, 6), starts: [6] })).toBe(0);
    expect(rewritten(rowsOf(1, 2, 6))).toBe(0);
    expect(rewritten(rowsOf(1, 9, 10))).toBe(0);
    expect(rewritten({ ...rowsOf(1, 9, 10), starts: [8] })).toBe(1);
    expect(rewritten(rowsOf(1, 7, 8))).toBe(1);
  });

  it.each(Array.from({ length: 200 }, (_, seed) => seed))(
    "ends with exactly the kernel's rows after any mix of loss, order and repeats (seed %i)",
    (seed) => {
      const random = seeded(seed);
      const total = below(random, 900);
      const store = new RowStore();
      const onTheWay: Rows[] = [];
      let sent = 0;
      let clock = 0;
      const deliver = (): void => {
        const [message] = onTheWay.splice(below(random, onTheWay.length), 1);
        if (message && random() > 0.2) store.accept(message);
      };
      while (sent < total) {
        const to = Math.min(total, sent + 1 + below(random, 20));
        onTheWay.push(rowsOf(3, Math.max(0, sent - below(random, 15)), to));
        sent = to;
        if (random() < 0.7) deliver();
        for (const ask of store.resync((clock += 40)))
          onTheWay.push(rowsOf(ask.run, ask.from, sent));
      }
      store.table(3).expect(total);
      for (;;) {
        const asks = store.resync((clock += 60_000));
        if (asks.length === 0) break;
        for (const ask of asks) onTheWay.push(rowsOf(ask.run, ask.from, total));
        while (onTheWay.length && random() < 0.8) deliver();
      }
      expect(store.current?.pairs()).toEqual(rowsOf(3, 0, total).data);
      expect(store.current?.missing).toBeNull();
    },
  );
});

describe("decodeRows", () => {
  it("reads pairs at any byte offset and drops a broken last row", () => {
    const bytes = new Uint8Array(3 + 40);
    new Uint8Array(bytes.buffer, 3).set(new Uint8Array(new Float64Array([1, 2, 3, NaN]).buffer));
    expect(decodeRows(new DataView(bytes.buffer, 3, 40))).toEqual(new Float64Array([1, 2, 3, NaN]));
  });

  it("returns no rows without a buffer", () => {
    expect(decodeRows(undefined)).toHaveLength(0);
  });
});
