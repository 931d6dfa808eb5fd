import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Detail, Legend } from "../../src/stream/protocol";
import { open } from "./fake-model";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("the kernel's state", () => {
  it("is requested once, with hello", () => {
    const { model } = open();
    expect(model.sent).toEqual([{ type: "hello" }]);
  });

  it("comes from the saved state at first", () => {
    const data = new DataView(Float64Array.of(1e-5, 2, 1e-4, 1).buffer);
    const { session } = open({
      state: "finished",
      step: 2,
      _legend: { active: 4, runs: [[4, "run 4", 0]], parallel: false },
      _runs: [{ type: "rows", run: 4, offset: 0, starts: [0], data }],
    });
    expect([...session.store.current!.loss]).toEqual([2, 1]);
    expect(session.status.state).toBe("finished");
  });

  it("updates state, step and rows", () => {
    const { model, session } = open();
    model.rows({ state: "running", step: 2, steps: 100, elapsed: 1 }, [2, 1]);
    expect(session.status).toMatchObject({ state: "running", step: 2, elapsed: 1 });
    expect([...session.store.current!.loss]).toEqual([2, 1]);
  });

  it("is not set back by traits that are older than the messages", () => {
    const { model, session } = open();
    model.rows({ state: "running", step: 2, steps: 100 }, [2, 1]);
    model.change({ state: "running", step: 0 });
    expect(session.status).toMatchObject({ state: "running", step: 2 });
    model.change({ _legend: { active: 2, runs: [[1, "run 1", 0]], parallel: false } });
    expect(session.status.step).toBe(0);
  });

  it("of an inactive run changes neither the shown state nor the marker", () => {
    const { model, session } = open({
      _legend: { active: 2, runs: [[1, "run 1", 0]], parallel: false },
    });
    model.rows({ run: 2, state: "running", step: 1 }, [2]);
    model.rows({ run: 1, state: "finished", step: 9, lr: 0.5 }, [2]);
    expect(session.status.state).toBe("running");
    expect(session.lr).toBeNull();
  });

  it("is requested again if rows are missing, also at the end of the run", () => {
    const { model } = open();
    model.rows({ offset: 3, state: "running", step: 4 }, [1]);
    expect(model.sent.at(-1)).toEqual({ type: "resync", run: 1, from: 0 });
    model.rows({ offset: 0, state: "running", step: 4 }, [4, 3, 2, 1]);
    const before = model.sent.length;
    model.rows({ offset: 4, state: "finished", step: 6 });
    expect(model.sent.slice(before)).toEqual([{ type: "resync", run: 1, from: 4 }]);
    vi.advanceTimersByTime(2000);
    expect(model.sent.length).toBeGreaterThan(before + 1);
    model.rows({ offset: 4, state: "finished", step: 6 }, [1, 1]);
    const settled = model.sent.length;
    vi.advanceTimersByTime(60_000);
    expect(model.sent.length).toBe(settled);
  });
});

describe("a button", () => {
  it("counts as late if the kernel has not answered after a second", () => {
    const { model, session } = open();
    session.command("start");
    expect(model.sent.at(-1)).toEqual({ type: "command", name: "start" });
    vi.advanceTimersByTime(900);
    expect(session.connection.requests.pending?.late).toBe(false);
    vi.advanceTimersByTime(200);
    expect(session.connection.requests.pending?.late).toBe(true);
    model.rows({ state: "running", step: 0 });
    expect(session.connection.requests.pending).toBeNull();
  });

  it("that is pressed during a run is answered by a new state, not by more rows", () => {
    const { model, session } = open();
    model.rows({ state: "running", step: 1 }, [1]);
    session.command("stop");
    model.rows({ state: "running", step: 2 }, [1, 1]);
    expect(session.connection.requests.pending?.name).toBe("stop");
    model.rows({ state: "stopped", step: 2 });
    expect(session.connection.requests.pending).toBeNull();
  });

  it("that is pressed twice before it is answered begins one thing, and extends twice", () => {
    const { model, session } = open();
    for (const name of ["start", "start", "refine", "refine", "extend", "extend"] as const)
      session.command(name);
    const sent = model.sent.filter(({ type }) => type === "command").map(({ name }) => name);
    expect(sent).toEqual(["start", "refine", "extend", "extend"]);
  });

  it("that is refused during a run has been answered", () => {
    const { model, session } = open();
    model.rows({ state: "running", step: 1 }, [1]);
    session.command("start");
    model.rows({ state: "running", step: 1, detail: { notice: "the sweep is already running" } });
    expect(session.connection.requests.pending).toBeNull();
  });

  it("Export sends the rate first, then the name, and reports the outcome", () => {
    const { model, session } = open();
    session.pick(0.1);
    session.pick(0.2);
    session.export("best");
    expect(model.saved).toEqual([{ lr: 0.1 }, { lr: 0.2 }, { variable: "best" }]);
    expect(model.sent.at(-1)).toEqual({ type: "export", name: "best" });
    model.emit("msg:custom", { type: "exported", ok: true, text: "best = 0.2" }, []);
    expect(session.view.note).toEqual({ ok: true, text: "best = 0.2" });
    vi.advanceTimersByTime(5000);
    expect(session.connection.requests.pending).toBeNull();
  });
});

describe("a kernel that has ended", () => {
  it("is sent nothing more, and no request stays pending", () => {
    const { model, session } = open({ lr: 1e-3 });
    session.export("rate");
    expect(session.connection.requests.pending?.name).toBe("export");
    session.connection.setKernel("gone");
    expect(session.connection.requests.pending).toBeNull();
    const before = [model.sent.length, model.saved.length];
    session.command("start");
    session.export("rate");
    session.pick(1e-2);
    session.pick(1e-2);
    session.traits.smoothing.set(0.5);
    expect([model.sent.length, model.saved.length]).toEqual(before);
    expect([session.connection.requests.pending, session.lr, model.traits.lr]).toEqual([
      null,
      1e-2,
      1e-2,
    ]);
  });
  it("is noticed before or when a message is sent to it", () => {
    const { model, session } = open();
    session.connection.probeKernel = () => {
      session.connection.setKernel("gone");
    };
    session.command("start");
    expect([session.connection.connected, session.connection.requests.pending]).toEqual([
      false,
      null,
    ]);
    const other = open();
    other.model.send = () => {
      throw new Error("Cannot send");
    };
    other.session.command("start");
    expect([other.session.connection.kernel, other.session.connection.requests.pending]).toEqual([
      "gone",
      null,
    ]);
    expect(model.sent.length).toBe(1);
  });
  it("keeps its run while it cannot be reached, and is asked for all rows afterwards", () => {
    const { model, session } = open();
    model.rows({ state: "running", step: 2 }, [2, 1]);
    session.connection.setKernel("lost");
    expect([session.connection.connected, session.displayedStatus.state]).toEqual([
      false,
      "running",
    ]);
    session.connection.setKernel("alive");
    expect(model.sent.at(-1)).toEqual({ type: "hello" });
  });
});

describe("the saved state", () => {
  const check = {
    type: "check",
    run: 1,
    offset: 0,
    starts: [0],
    state: "running",
    step: 1,
    steps: 4,
    detail: { lrs: [1e-3, 1e-2], final_losses: [null, null], stop_reasons: [null, null] },
  };

  it("contains what messages have brought and the traits lack", () => {
    const legend = { active: 1, runs: [[1, "run 1", 0]], parallel: false } satisfies Legend;
    const { model, session } = open({ _legend: legend });
    const detail: Detail = { span: [1e-6, 1] };
    model.rows({ state: "running", step: 2, detail, lr: 1e-3 }, [3, 2]);
    model.emit("msg:custom", check, [new DataView(Float64Array.of(1e-3, 5).buffer)]);
    expect(model.traits).toMatchObject({ state: "idle", _runs: null, _check: null });

    const again = open({ ...model.traits, ...structuredClone(session.saved()) }).session;
    expect(again.status).toEqual(session.status);
    expect([...again.store.current!.loss]).toEqual([3, 2]);
    expect([again.lr, again.span]).toEqual([1e-3, { low: 1e-6, high: 1 }]);
    expect([...again.check.store.current!.loss]).toEqual([5]);
    expect([again.check.status, again.check.detail]).toEqual([
      session.check.status,
      session.check.detail,
    ]);
  });
  it("has no check if there was none", () => {
    expect(open().session.saved()._check).toBeNull();
  });
  it("belongs to the model that messages name, even without an answer to hello", () => {
    const { model, session } = open();
    model.rows({ state: "running", model_id: "its id" });
    model.rows({ step: 1 }, [3]);
    expect(session.modelId).toBe("its id");
  });
});

describe.each(["check", "refinement"] as const)("a %s in mid-run", (type) => {
  const message = { type, run: 1, offset: 0, starts: [0], step: 0, steps: 9, elapsed: 0 };

  it.each(["running", "paused"])("has been stopped by the end of its kernel (%s)", (state) => {
    const { model, session } = open();
    model.emit("msg:custom", { ...message, state, error: null, suggestion: null }, []);
    expect(session[type].displayed).toBe(session[type].status);
    session.connection.setKernel("lost");
    expect([session[type].underWay, session.trying, session.underWay]).toEqual([true, true, true]);
    session.connection.setKernel("replaced");
    expect(session[type].displayed.state).toBe("stopped");
    expect([session[type].underWay, session.trying, session.underWay]).toEqual([
      false,
      false,
      false,
    ]);
    // What is saved with the notebook stays as it was.
    expect(session[type].saved()?.state).toBe(state);
  });
});
