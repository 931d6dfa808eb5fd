import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Traits } from "../../src/stream/protocol";
import { type FakeModel, open } from "./fake-model";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a check", () => {
  const detail = { lrs: [0.1], final_losses: [null], stop_reasons: [null] };
  const running = {
    type: "check",
    run: 1,
    offset: 0,
    starts: [0],
    state: "running",
    step: 1,
    steps: 4,
    elapsed: 0,
    error: null,
    suggestion: null,
    detail,
  };
  const row = (): DataView[] => [new DataView(Float64Array.of(0.1, 2).buffer)];

  it("streams during a sweep and changes neither the sweep nor the marker", () => {
    const { model, session } = open({ lr: 0.3, state: "finished", step: 1 });
    model.rows({ state: "finished", step: 1 }, [5]);
    model.emit("msg:custom", running, row());
    expect([...session.check.store.current!.loss]).toEqual([2]);
    expect(session.underWay).toBe(true);
    model.emit("msg:custom", { ...running, state: "finished", suggestion: 0.1 }, []);
    expect(session.underWay).toBe(false);
    expect([session.lr, session.status.state]).toEqual([0.3, "finished"]);
    expect([...session.store.current!.loss]).toEqual([5]);
  });

  it("is requested again if rows are missing", () => {
    const { model } = open();
    model.emit("msg:custom", { ...running, offset: 2, step: 3 }, row());
    expect(model.sent.at(-1)).toEqual({ type: "resync", of: "check", run: 1, from: 0 });
  });

  it("is stopped when its state says so, not when the kernel has received Stop", () => {
    const { model, session } = open();
    model.emit("msg:custom", running, row());
    session.command("stop");
    model.rows({ state: "idle", step: 0 });
    expect(session.connection.requests.pending?.name).toBe("stop");
    model.emit("msg:custom", { ...running, state: "stopped" }, []);
    expect(session.connection.requests.pending).toBeNull();
  });

  it("appears and disappears with its trait", () => {
    const { model, session } = open();
    const data = new DataView(Float64Array.of(0.1, 2).buffer);
    model.change({ _check: { ...running, type: "check", state: "finished", data } });
    expect([...session.check.store.current!.loss]).toEqual([2]);
    model.change({ _check: null });
    expect(session.check.store.current).toBeNull();
  });

  it("counts as stopped if its kernel has ended, until a kernel sends its state", () => {
    const { model, session } = open();
    model.rows({ state: "running", step: 2 }, [2, 1]);
    session.connection.setKernel("gone");
    expect(session.displayedStatus.state).toBe("stopped");
    model.rows({ state: "running", step: 3, offset: 2 }, [1]);
    expect(session.displayedStatus.state).toBe("running");
  });
});

describe("several runs", () => {
  const two: Partial<Traits> = {
    _legend: {
      active: 2,
      runs: [
        [1, "run 1", 0],
        [2, "run 2", 1],
      ],
      parallel: false,
    },
  };
  const finish = (model: FakeModel): void => {
    model.rows(
      { run: 1, state: "finished", step: 1, suggestion: 0.1, detail: { span: [1e-8, 1] } },
      [1],
    );
    model.rows({ run: 2, state: "finished", step: 1, suggestion: 0.2, lr: 0.2 }, [1]);
  };

  it("are drawn beside the active run unless they are hidden", () => {
    const { model, session } = open(two);
    finish(model);
    const [first, second] = session.runs.list;
    expect(session.others).toEqual([first]);
    expect(session.fullSpan).toEqual({ low: 1e-8, high: 1 });
    session.setHidden(first!, true);
    expect(session.others).toEqual([]);
    expect(session.fullSpan).toEqual({ low: 1e-6, high: 1 });
    expect(model.saved).toEqual([{ _hidden: [1] }]);
    session.setHidden(first!, false);
    expect(session.others).toEqual([first]);
    model.change({ _hidden: [1, 2] });
    expect([session.isHidden(first!), session.isHidden(second!)]).toEqual([true, false]);
  });

  it("are activated by the kernel, which also shows them", () => {
    const { model, session } = open({ ...two, _hidden: [1] });
    finish(model);
    session.activate(session.runs.list[0]!);
    expect(model.sent.at(-1)).toEqual({ type: "run", action: "activate", run: 1 });
    expect(session.runs.active.number).toBe(2);
    expect(session.connection.requests.pending?.name).toBe("activate");
    model.change({
      _legend: { ...two._legend!, active: 1 },
      state: "finished",
      step: 1,
      suggestion: 0.1,
      lr: 0.1,
    });
    expect(session.connection.requests.pending).toBeNull();
    expect([session.runs.active.number, session.status.suggestion, session.lr]).toEqual([
      1, 0.1, 0.1,
    ]);
    expect(session.others.map(({ number }) => number)).toEqual([2]);
  });

  it("are activated in the page if there is no kernel, and a pick stays", () => {
    const { model, session } = open(two);
    finish(model);
    session.connection.setKernel("gone");
    const [first, second] = session.runs.list;
    const sent = model.sent.length;
    session.activate(first!);
    expect([session.runs.active, session.lr]).toEqual([first, 0.1]);
    session.activate(second!);
    expect(session.lr).toBe(0.2);
    session.pick(0.5);
    session.activate(first!);
    expect([session.runs.active, session.lr]).toEqual([first, 0.5]);
    expect(model.sent.length).toBe(sent);
    // A notebook that is saved now opens with that run as the active one.
    const again = open({ ...model.traits, ...structuredClone(session.saved()) }).session;
    expect(again.runs.active.number).toBe(1);
    expect([again.status, again.detail, again.lr]).toEqual([first!.status, first!.detail, 0.5]);
    expect(again.runs.list.map(({ label }) => label)).toEqual(["run 1", "run 2"]);
    expect(again.others.map(({ status }) => status.suggestion)).toEqual([0.2]);
  });

  it("cannot be activated while a run is under way, unless several may be", () => {
    const { model, session } = open(two);
    finish(model);
    expect(session.canActivate).toBe(true);
    model.rows({ run: 2, state: "running", step: 1 });
    expect(session.canActivate).toBe(false);
    model.change({ _legend: { ...two._legend!, parallel: true } });
    expect(session.canActivate).toBe(true);
  });

  it("are renamed and removed by the kernel", () => {
    const { model, session } = open(two);
    session.requestRunAction("rename", session.runs.list[1]!, "wide");
    expect(model.sent.at(-1)).toEqual({ type: "run", action: "rename", run: 2, label: "wide" });
    session.requestRunAction("remove", session.runs.list[0]!);
    expect(model.sent.at(-1)).toEqual({ type: "run", action: "remove", run: 1 });
  });
});
