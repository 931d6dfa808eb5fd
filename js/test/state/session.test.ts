import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Detail, Legend, Traits } from "../../src/stream/protocol";
import { type FakeModel, open } from "./fake-model";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a pick", () => {
  it("of the rate that is chosen already is told, for the trait would not change", () => {
    const { model, session } = open({ lr: 1e-3 });
    session.pick(1e-3);
    expect(model.saved).toEqual([]);
    expect(model.sent.at(-1)).toEqual({ type: "pick", lr: 1e-3 });
  });
  it("is the user's, also where nothing moved", () => {
    const { model, session } = open({ lr: 1e-3 });
    session.pick(1e-3);
    model.rows({ lr: 1e-2, state: "finished" }, [1]);
    expect(session.lr).toBe(1e-3);
  });
});

describe("a host that hands messages over as Colab does", () => {
  // A view of bytes that are not where a number may begin, among others.
  const bytes = (...values: number[]): Uint8Array => {
    const all = new Uint8Array(3 + 8 * values.length + 5);
    all.set(new Uint8Array(Float64Array.from(values).buffer), 3);
    return all.subarray(3, 3 + 8 * values.length);
  };
  const rows = { type: "rows", run: 1, offset: 0, starts: [0], state: "running" };

  it("gives the rows of a sweep as Uint8Array", () => {
    const { model, session } = open();
    model.emit("msg:custom", rows, [bytes(1e-3, 2, 1e-2, 1)]);
    expect(session.store.current?.pairs()).toEqual(Float64Array.of(1e-3, 2, 1e-2, 1));
  });
  it("gives the rows of a check as Uint8Array", () => {
    const { model, session } = open();
    const detail = { lrs: [1e-3], final_losses: [null], stop_reasons: [null] };
    const check = { ...rows, type: "check", detail };
    model.emit("msg:custom", check, [bytes(1e-3, 2)]);
    expect(session.check.saved()?.data.byteLength).toBe(16);
  });
  it("gives no list of buffers where a message has none", () => {
    const { model, session } = open();
    model.emit("msg:custom", { ...rows, step: 7 }, undefined);
    expect(session.status.step).toBe(7);
    model.emit("msg:custom", { ...rows, type: "check" }, undefined);
    expect(session.store.current?.pairs()).toHaveLength(0);
  });
});

describe("the range", () => {
  it("goes both ways, within the sweep", () => {
    const { model, session } = open();
    session.setRange([1e-9, 1e-3]);
    expect(session.lrRange).toEqual([1e-6, 1e-3]);
    expect(model.saved).toEqual([{ lr_range: [1e-6, 1e-3] }]);
    model.change({ lr_range: [1e-4, 1e-2] });
    expect(session.lrRange).toEqual([1e-4, 1e-2]);
    session.setRange([2, 3]); // outside of the sweep
    expect(session.lrRange).toEqual([1e-4, 1e-2]);
  });
  it("is not pulled back by the echo of its own drag", () => {
    const { model, session } = open();
    session.startDrag();
    session.setRange([1e-4, 1e-3]);
    session.setRange([1e-4, 1e-2]);
    model.change({ lr_range: [1e-4, 1e-3] });
    expect(session.lrRange).toEqual([1e-4, 1e-2]);
    session.endDrag();
    expect(model.saved.at(-1)).toEqual({ lr_range: [1e-4, 1e-2] });
  });
  it("is cleared", () => {
    const { model, session } = open({ lr_range: [1e-4, 1e-2] });
    session.setRange(null);
    expect(session.lrRange).toBeNull();
    expect(model.saved).toEqual([{ lr_range: null }]);
  });
});

describe("what is shown", () => {
  it("is all there is, a part, and never more than there is", () => {
    const { model, session } = open();
    expect(session.visibleSpan).toEqual({ low: 1e-6, high: 1 });
    session.view.setZoom({ low: 1e-4, high: 1e-2 });
    expect(session.visibleSpan).toEqual({ low: 1e-4, high: 1e-2 });
    model.change({ _range: [1e-3, 1] });
    expect(session.visibleSpan).toEqual({ low: 1e-3, high: 1e-2 });
    model.change({ _range: [0.1, 1] });
    expect(session.visibleSpan).toEqual({ low: 0.1, high: 1 });
  });
});

describe("what the kernel says", () => {
  it("is asked for with hello, once", () => {
    const { model } = open();
    expect(model.sent).toEqual([{ type: "hello" }]);
  });

  it("is taken from the saved state first", () => {
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

  it("moves state, step and rows", () => {
    const { model, session } = open();
    model.rows({ state: "running", step: 2, steps: 100, elapsed: 1 }, [2, 1]);
    expect(session.status).toMatchObject({ state: "running", step: 2, elapsed: 1 });
    expect([...session.store.current!.loss]).toEqual([2, 1]);
  });

  it("in its traits may be older than its messages, which have told of later steps", () => {
    const { model, session } = open();
    model.rows({ state: "running", step: 2, steps: 100 }, [2, 1]);
    model.change({ state: "running", step: 0 });
    expect(session.status).toMatchObject({ state: "running", step: 2 });
    model.change({ _legend: { active: 2, runs: [[1, "run 1", 0]], parallel: false } });
    expect(session.status.step).toBe(0);
  });

  it("about a run that is not the active one changes neither state nor marker", () => {
    const { model, session } = open({
      _legend: { active: 2, runs: [[1, "run 1", 0]], parallel: false },
    });
    model.rows({ run: 2, state: "running", step: 1 }, [2]);
    model.rows({ run: 1, state: "finished", step: 9, lr: 0.5 }, [2]);
    expect(session.status.state).toBe("running");
    expect(session.lr).toBeNull();
  });

  it("is asked for again where rows are missing, and at the end of the run", () => {
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

describe("what is saved with the notebook", () => {
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

  it("is what messages have told, of which the traits know nothing", () => {
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
  it("has no check where there was none", () => {
    expect(open().session.saved()._check).toBeNull();
  });
  it("goes where messages say, also where no hello is answered", () => {
    const { model, session } = open();
    model.rows({ state: "running", model_id: "its id" });
    model.rows({ step: 1 }, [3]);
    expect(session.modelId).toBe("its id");
  });
});

describe("the marker", () => {
  it("follows the program until the user picks", () => {
    const { model, session } = open();
    model.rows({ state: "finished", step: 1, lr: 0.02 }, [1]);
    expect(session.lr).toBe(0.02);
    session.pick(0.3);
    model.rows({ state: "finished", step: 1, lr: 0.02 });
    expect(session.lr).toBe(0.3);
    // The kernel receives the pick, and forgets it in a reset.
    model.change({ _picked: true });
    model.change({ _picked: false, _legend: { active: 2, runs: [], parallel: false } });
    model.rows({ run: 2, state: "idle", step: 0 });
    model.rows({ run: 2, state: "finished", step: 1, lr: 0.02 }, [1]);
    expect(session.lr).toBe(0.02);
  });

  it("placed by the program is not sent back as a pick", () => {
    const { model, session } = open();
    model.rows({ state: "finished", step: 1, lr: 0.02 }, [1]);
    session.traits.smoothing.set(0.5);
    expect(model.saved).toEqual([{ smoothing: 0.5 }]);
  });

  it("stays where it was picked while the kernel has not heard of that", () => {
    const { model, session } = open();
    session.pick(0.3);
    model.rows({ state: "idle", step: 0 });
    model.change({ state: "finished", suggestion: 0.02, lr: 0.02 });
    model.rows({ state: "finished", step: 1, lr: 0.02 }, [1]);
    expect(session.lr).toBe(0.3);
    // The cell ends: the kernel receives the pick, and its echo arrives.
    model.change({ _picked: true });
    model.change({ lr: 0.3 });
    expect(session.lr).toBe(0.3);
  });

  it("goes where Python or a linked widget sends it, whatever was picked before", () => {
    const { model, session } = open();
    session.pick(0.3);
    model.change({ lr: 0.04 }); // by jslink, not yet known to the kernel
    expect(session.lr).toBe(0.04);
    model.change({ _picked: true, suggestion: 0.05, lr: 0.05 });
    expect(session.lr).toBe(0.05);
    model.change({ lr: null });
    expect(session.lr).toBeNull();
  });

  it("stays in the hand that drags it", () => {
    const { model, session } = open({ lr: 0.01 });
    session.startDrag();
    session.pick(0.1);
    model.change({ lr: 0.02 });
    expect(session.lr).toBe(0.1);
    session.endDrag();
    model.change({ lr: 0.05 });
    expect(session.lr).toBe(0.05);
  });

  it("is clamped to the sweep and sent every 50 ms at most, the last value for certain", () => {
    const { model, session } = open();
    session.startDrag();
    for (let i = 0; i < 20; i++) {
      session.pick(0.1 * 1.2 ** i);
      vi.advanceTimersByTime(5);
    }
    session.endDrag();
    expect(session.lr).toBe(1);
    expect(model.saved.length).toBeLessThanOrEqual(4);
    expect(model.saved.at(-1)).toEqual({ lr: 1 });
  });
});

describe("a button", () => {
  it("says that it waits when the kernel has not answered for a second", () => {
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

  it("pressed during a run is answered by a new state, not by more rows", () => {
    const { model, session } = open();
    model.rows({ state: "running", step: 1 }, [1]);
    session.command("stop");
    model.rows({ state: "running", step: 2 }, [1, 1]);
    expect(session.connection.requests.pending?.name).toBe("stop");
    model.rows({ state: "stopped", step: 2 });
    expect(session.connection.requests.pending).toBeNull();
  });

  it("Export sends the rate first, then the name, and tells what was written", () => {
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

  it("streams beside the sweep and leaves it and the marker alone", () => {
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

  it("is asked for again where rows are missing", () => {
    const { model } = open();
    model.emit("msg:custom", { ...running, offset: 2, step: 3 }, row());
    expect(model.sent.at(-1)).toEqual({ type: "resync", of: "check", run: 1, from: 0 });
  });

  it("is stopped when it says so, not when the kernel has heard of it", () => {
    const { model, session } = open();
    model.emit("msg:custom", running, row());
    session.command("stop");
    model.rows({ state: "idle", step: 0 });
    expect(session.connection.requests.pending?.name).toBe("stop");
    model.emit("msg:custom", { ...running, state: "stopped" }, []);
    expect(session.connection.requests.pending).toBeNull();
  });

  it("comes and goes with the state", () => {
    const { model, session } = open();
    const data = new DataView(Float64Array.of(0.1, 2).buffer);
    model.change({ _check: { ...running, type: "check", state: "finished", data } });
    expect([...session.check.store.current!.loss]).toEqual([2]);
    model.change({ _check: null });
    expect(session.check.store.current).toBeNull();
  });

  it("shows a run as stopped whose kernel has gone, and as it is when a kernel speaks", () => {
    const { model, session } = open();
    model.rows({ state: "running", step: 2 }, [2, 1]);
    session.connection.setKernel("gone");
    expect(session.displayedStatus.state).toBe("stopped");
    model.rows({ state: "running", step: 3, offset: 2 }, [1]);
    expect(session.displayedStatus.state).toBe("running");
  });
});

describe("a kernel that has ended", () => {
  it("is told nothing more, and what was asked of it waits no longer", () => {
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
  it("is found out by whoever is about to ask it, or by the failure to do so", () => {
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
  it("goes on with its run where it only cannot be reached, and is asked for all when it can", () => {
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

  it("are drawn beside the active one unless they are hidden", () => {
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

  it("are activated by the kernel, and shown then", () => {
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

  it("are activated in the page where there is no kernel, and a pick stays", () => {
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

  it("cannot be activated while one is under way, unless several may be", () => {
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
