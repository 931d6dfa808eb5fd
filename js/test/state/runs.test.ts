import { describe, expect, it } from "vitest";
import { Runs } from "../../src/state/runs";
import type { Legend, SavedRun } from "../../src/stream/protocol";

const legend = (active: number, ...numbers: number[]): Legend => ({
  active,
  runs: numbers.map((number) => [number, `run ${number}`, number % 8]),
  parallel: false,
});

/** A saved run that has ended. */
function ended(run: number, losses: number[], more: Partial<SavedRun> = {}): SavedRun {
  const pairs = Float64Array.from(losses.flatMap((loss, i) => [1e-3 * (i + 1), loss]));
  const data = new DataView(pairs.buffer);
  const [state, step] = ["finished" as const, losses.length];
  return { type: "rows", run, offset: 0, starts: [0], state, step, ...more, data };
}

function take(runs: Runs, message: SavedRun): ReturnType<Runs["receive"]> {
  return runs.receive(message, message.data);
}

describe("the runs", () => {
  it("have rows, status and detail each", () => {
    const runs = new Runs(legend(2, 1, 2));
    take(runs, ended(1, [3, 2, 1], { suggestion: 0.1, detail: { reason: "it fell" } }));
    take(runs, ended(2, [5], { suggestion: 0.2, state: "diverged" }));
    const [first, second] = runs.list;
    expect(runs.active).toBe(second);
    expect([...first!.table.loss]).toEqual([3, 2, 1]);
    expect([first!.status.suggestion, first!.status.state]).toEqual([0.1, "finished"]);
    expect(first!.detail.reason).toBe("it fell");
    expect([second!.label, second!.style, second!.status.state]).toEqual(["run 2", 2, "diverged"]);
    expect(runs.store.current).toBe(second!.table);
  });

  it("are those of the legend: a run that it no longer has is dropped for good", () => {
    const runs = new Runs(legend(3, 1, 2, 3));
    for (const number of [1, 2, 3]) take(runs, ended(number, [1]));
    runs.applyLegend(legend(3, 1, 3));
    expect(runs.list.map(({ number }) => number)).toEqual([1, 3]);
    expect([...runs.store.runs.keys()].sort()).toEqual([1, 3]);
    // A message that was sent before the removal arrives after it.
    expect(take(runs, ended(2, [1, 2]))).toBeNull();
    expect([...runs.store.runs.keys()].sort()).toEqual([1, 3]);
  });

  it("take in rows of a run that is not in the legend yet", () => {
    const runs = new Runs(legend(1, 1));
    expect(take(runs, ended(2, [4, 3]))).not.toBeNull();
    expect(runs.list.map(({ number }) => number)).toEqual([1]);
    expect(runs.active.number).toBe(1);
    runs.applyLegend(legend(2, 1, 2));
    expect([...runs.active.table.loss]).toEqual([4, 3]);
  });

  it("have an active run that is not in the list before its start", () => {
    const runs = new Runs(legend(1));
    expect([runs.list.length, runs.active.number, runs.underWay]).toEqual([0, 1, false]);
    runs.applyLegend(legend(1, 1));
    runs.active.updateStatus({ state: "paused" });
    expect(runs.underWay).toBe(true);
  });

  it("keep their identity when labels or the active run change", () => {
    const runs = new Runs(legend(1, 1, 2));
    const [first, second] = runs.list;
    runs.applyLegend({
      ...legend(2),
      runs: [
        [1, "wide", 5],
        [2, "run 2", 2],
      ],
    });
    expect(runs.list).toEqual([first, second]);
    expect(runs.list[0]).toBe(first);
    expect([first!.label, first!.style]).toEqual(["wide", 5]);
    expect(runs.active).toBe(second);
  });

  it("are saved and restored exactly", () => {
    const runs = new Runs(legend(2, 1, 2));
    take(runs, ended(1, [3, NaN, 1], { starts: [0, 2], detail: { span: [1e-5, 1] } }));
    take(runs, ended(2, []));
    const again = new Runs(legend(2, 1, 2));
    for (const run of runs.list) take(again, structuredClone(run.saved()));
    again.list.forEach((run, i) => {
      const { table, status, detail } = runs.list[i]!;
      expect([...run.table.lr, ...run.table.loss]).toEqual([...table.lr, ...table.loss]);
      expect([run.table.starts, run.status, run.detail]).toEqual([table.starts, status, detail]);
    });
    expect(again.list[0]!.span).toEqual({ low: 1e-5, high: 1 });
    expect(again.list[1]!.span).toBeNull();
  });

  it("refuse a run without a valid number", () => {
    const runs = new Runs(legend(1, 1));
    for (const run of [NaN, -1, 1.5]) expect(take(runs, ended(run, [1]))).toBeNull();
    expect([...runs.store.runs.keys()]).toEqual([1]);
  });

  it("request the missing rows of every run", () => {
    const runs = new Runs(legend(3, 1, 2, 3));
    take(runs, ended(1, [1], { step: 4 }));
    take(runs, ended(2, [1, 2]));
    take(runs, { ...ended(3, [1]), offset: 5, step: 6 });
    expect(runs.store.resync(0).sort((a, b) => a.run - b.run)).toEqual([
      { run: 1, from: 1 },
      { run: 3, from: 0 },
    ]);
    expect(runs.store.missing).toBe(true);
    runs.applyLegend(legend(2, 2));
    expect([runs.store.resync(1), runs.store.missing]).toEqual([[], false]);
  });
});
