import { describe, expect, it } from "vitest";
import { Refinement, trialsOf } from "../../src/state/refinement";
import type { RefinementDetail, RefinementMessage, TrialDetail } from "../../src/stream/protocol";
import { open } from "./fake-model";

export function trial(lr: number, more: Partial<TrialDetail> = {}): TrialDetail {
  return { lr, dropped: 0, held_out: [], stop_reason: null, ...more };
}

export function detailOf(more: Partial<RefinementDetail> = {}): RefinementDetail {
  return { ...new Refinement().detail, sweep: 1, sweep_steps: 100, ...more };
}

function message(more: Partial<RefinementMessage> = {}): RefinementMessage {
  return {
    type: "refinement",
    run: 1,
    offset: 0,
    starts: [0],
    state: "running",
    step: 0,
    steps: 1500,
    elapsed: 0,
    error: null,
    suggestion: null,
    ...more,
  };
}

function data(rows: [number, number][]): DataView {
  return new DataView(Float64Array.from(rows.flat()).buffer);
}

describe("the trials in the rows", () => {
  const rows = (pairs: [number, number][]): { lr: Float64Array; loss: Float64Array } => ({
    lr: Float64Array.from(pairs, ([lr]) => lr),
    loss: Float64Array.from(pairs, ([, loss]) => loss),
  });

  it("are told apart by the rate, whatever their order, and sorted by it", () => {
    const all = rows([
      [0.3, 5],
      [0.1, 4],
      [0.3, 3],
      [NaN, NaN],
      [0.1, 2],
    ]);
    const found = trialsOf(all, detailOf({ trials: [trial(0.3, { held_out: [[1, 4.5]] })] }));
    expect(found.map(({ lr, losses }) => [lr, [...losses]])).toEqual([
      [0.1, [4, 2]],
      [0.3, [5, 3]],
    ]);
    expect(found[1]!.heldOut).toEqual([[1, 4.5]]);
  });

  it("that began anew have lost their earlier rows, and those without a row are there", () => {
    const all = rows([
      [0.1, 9],
      [0.1, 8],
      [0.1, 7],
    ]);
    const trials = [trial(0.3), trial(0.1, { dropped: 2, stop_reason: "finished" })];
    const found = trialsOf(all, detailOf({ trials }));
    expect(found.map(({ lr, losses }) => [lr, [...losses]])).toEqual([
      [0.1, [7]],
      [0.3, []],
    ]);
  });

  it("are the same list until something changes", () => {
    const refinement = new Refinement();
    refinement.receive(message({ detail: detailOf(), step: 1 }), data([[0.1, 3]]));
    const before = refinement.trials;
    expect(refinement.trials).toBe(before);
    refinement.receive(message({ offset: 1, step: 2 }), data([[0.1, 2]]));
    expect(refinement.trials).not.toBe(before);
    expect([...refinement.trials[0]!.losses]).toEqual([3, 2]);
    expect(refinement.spent).toBe(102);
  });
});

describe("a refinement in the session", () => {
  it("refines nothing where the suggestion of the sweep stays", () => {
    const { model, session } = open({ state: "finished", suggestion: 0.05, lr: 0.05 });
    const ended = { state: "stopped", suggestion: 0.05, detail: detailOf() } as const;
    model.emit("msg:custom", message(ended), [data([])]);
    expect([session.refines(session.runs.active), session.refinedRate]).toEqual([true, null]);
    model.emit("msg:custom", message({ ...ended, suggestion: 0.03 }), [data([])]);
    expect(session.refinedRate).toBe(0.03);
  });
  const detail = detailOf({ trials: [trial(0.1), trial(3)] });
  const ended = message({ state: "finished", step: 1, suggestion: 0.05, lr: 0.05, detail });

  it("moves the marker at its end, unless the user has picked", () => {
    const { model, session } = open({ lr: 0.3, suggestion: 0.3, state: "finished" });
    model.emit("msg:custom", message({ detail, step: 1 }), [data([[0.1, 2]])]);
    expect([session.lr, session.underWay, session.trying]).toEqual([0.3, true, true]);
    model.emit("msg:custom", ended, []);
    expect([session.lr, session.refinedRate, session.underWay]).toEqual([0.05, 0.05, false]);
    const other = open({ lr: 0.3, suggestion: 0.3 });
    other.session.pick(0.2);
    other.model.emit("msg:custom", ended, [data([[0.1, 2]])]);
    expect(other.session.lr).toBe(0.2);
  });

  it("does not take back a pick that the kernel has not heard of", () => {
    const { model, session } = open({ lr: 0.3, suggestion: 0.3, state: "finished" });
    session.pick(0.2);
    const saved = { ...ended, data: data([[0.1, 2]]) };
    model.change({ _refinement: saved, lr: 0.05 });
    expect(session.lr).toBe(0.2);
    model.change({ _picked: true, lr: 0.05 }); // a link
    expect(session.lr).toBe(0.05);
  });

  it("widens the axis, and what can be picked, to the rates that it tried", () => {
    const { model, session } = open({ _range: [1e-6, 1] });
    model.emit("msg:custom", ended, [data([[3, 2]])]);
    expect(session.visibleSpan).toEqual({ low: 1e-6, high: 3 });
    session.pick(5);
    expect(session.lr).toBe(3);
    model.change({ _legend: { active: 2, runs: [], parallel: false } });
    expect(session.fullSpan).toEqual({ low: 1e-6, high: 1 });
    expect(session.refinedRate).toBeNull();
  });

  it("is asked for again where rows are missing", () => {
    const { model } = open();
    model.emit("msg:custom", message({ offset: 2, step: 3, detail }), [data([[0.1, 2]])]);
    expect(model.sent.at(-1)).toEqual({ type: "resync", of: "refinement", run: 1, from: 0 });
  });

  it("is stopped when it says so, not when the kernel has heard of it", () => {
    const { model, session } = open({ state: "finished" });
    model.emit("msg:custom", message({ state: "paused", detail, step: 1 }), [data([[0.1, 2]])]);
    session.command("stop");
    model.rows({ state: "finished", step: 0 });
    expect(session.connection.requests.pending?.name).toBe("stop");
    model.emit("msg:custom", message({ state: "stopped", step: 1 }), []);
    expect(session.connection.requests.pending).toBeNull();
  });

  it("comes and goes with the state, and its rate with the run", () => {
    const { model, session } = open({ lr: 0.05, suggestion: 0.3, state: "finished" });
    model.change({ _refinement: { ...ended, data: data([[0.1, 2]]) } });
    expect(session.refinedRate).toBe(0.05);
    model.change({
      _legend: {
        active: 1,
        runs: [
          [1, "one", 0],
          [2, "two", 1],
        ],
        parallel: false,
      },
    });
    session.connection.setKernel("gone");
    const [one, two] = session.runs.list;
    session.activate(two!);
    expect([session.lr, session.refinedRate]).toEqual([null, null]);
    session.activate(one!);
    expect([session.lr, session.refinedRate]).toEqual([0.05, 0.05]);
    expect(session.saved()._refinement).toMatchObject({ state: "finished", suggestion: 0.05 });
    model.change({ _refinement: null });
    expect([session.refinement.store.current, session.refinedRate]).toEqual([null, null]);
  });
});
