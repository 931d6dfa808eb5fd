import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { open } from "./fake-model";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a pick", () => {
  it("of the rate that is already chosen is sent as a message, since the trait does not change", () => {
    const { model, session } = open({ lr: 1e-3 });
    session.pick(1e-3);
    expect(model.saved).toEqual([]);
    expect(model.sent.at(-1)).toEqual({ type: "pick", lr: 1e-3 });
  });
  it("of the rate that is already chosen is saved all the same, which runs marimo's cells", () => {
    const { model, session } = open({ lr: 1e-3 });
    const calls: unknown[] = [];
    model.set = (...change) => calls.push(change);
    model.save_changes = () => calls.push("saved");
    session.pick(1e-3);
    expect(calls).toEqual([["lr", 1e-3], "saved"]);
  });
  it("counts as the user's even if the marker did not move", () => {
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
  it("is sent and received, within the sweep", () => {
    const { model, session } = open();
    session.setRange([1e-9, 1e-3]);
    expect(session.lrRange).toEqual([1e-6, 1e-3]);
    expect(model.saved).toEqual([{ lr_range: [1e-6, 1e-3] }]);
    model.change({ lr_range: [1e-4, 1e-2] });
    expect(session.lrRange).toEqual([1e-4, 1e-2]);
    session.setRange([2, 3]); // outside of the sweep
    expect(session.lrRange).toEqual([1e-4, 1e-2]);
  });
  it("ignores the kernel's echo while it is dragged", () => {
    const { model, session } = open();
    session.startDrag();
    session.setRange([1e-4, 1e-3]);
    session.setRange([1e-4, 1e-2]);
    model.change({ lr_range: [1e-4, 1e-3] });
    expect(session.lrRange).toEqual([1e-4, 1e-2]);
    session.endDrag();
    expect(model.saved.at(-1)).toEqual({ lr_range: [1e-4, 1e-2] });
  });
  it("can be cleared", () => {
    const { model, session } = open({ lr_range: [1e-4, 1e-2] });
    session.setRange(null);
    expect(session.lrRange).toBeNull();
    expect(model.saved).toEqual([{ lr_range: null }]);
  });
});

describe("the visible span", () => {
  it("is the whole sweep or the zoomed part, never beyond the sweep", () => {
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

describe("the marker", () => {
  it("follows the program until the user picks", () => {
    const { model, session } = open();
    model.rows({ state: "finished", step: 1, lr: 0.02 }, [1]);
    expect(session.lr).toBe(0.02);
    session.pick(0.3);
    model.rows({ state: "finished", step: 1, lr: 0.02 });
    expect(session.lr).toBe(0.3);
    // The kernel receives the pick, and a reset removes it.
    model.change({ _picked: true });
    model.change({ _picked: false, _legend: { active: 2, runs: [], parallel: false } });
    model.rows({ run: 2, state: "idle", step: 0 });
    model.rows({ run: 2, state: "finished", step: 1, lr: 0.02 }, [1]);
    expect(session.lr).toBe(0.02);
  });

  it("returns to the suggestion when Python takes a pick back", () => {
    for (const taken of [
      { lr: 0.02, _picked: false },
      { _picked: false, lr: 0.02 },
    ]) {
      const { model, session } = open({ lr: 0.02, suggestion: 0.02, state: "finished" });
      session.pick(0.3);
      model.change({ _picked: true });
      model.change(taken);
      expect(session.lr).toBe(0.02);
    }
  });

  it("is drawn where it returns to", () => {
    const { model, session } = open({ lr: 0.02, suggestion: 0.02, state: "finished" });
    let drawn: number | null = null;
    session.view.onChange(() => {
      drawn = session.lr;
    }, new AbortController().signal);
    session.pick(0.3);
    model.change({ _picked: true });
    model.change({ lr: 0.02, _picked: false });
    expect(drawn).toBe(0.02);
  });

  it("goes when Python takes a pick back and there is no suggestion", () => {
    for (const taken of [
      { lr: null, _picked: false },
      { _picked: false, lr: null },
    ]) {
      const { model, session } = open({ lr: 0.02 });
      session.pick(0.3);
      model.change({ _picked: true });
      model.change(taken);
      expect(session.lr).toBeNull();
    }
  });

  it("is not sent as a pick when the program moves it", () => {
    const { model, session } = open();
    model.rows({ state: "finished", step: 1, lr: 0.02 }, [1]);
    session.traits.smoothing.set(0.5);
    expect(model.saved).toEqual([{ smoothing: 0.5 }]);
  });

  it("stays at a pick that the kernel has not received yet", () => {
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

  it("follows Python and linked widgets even after a pick", () => {
    const { model, session } = open();
    session.pick(0.3);
    model.change({ lr: 0.04 }); // by jslink, not yet known to the kernel
    expect(session.lr).toBe(0.04);
    model.change({ _picked: true, suggestion: 0.05, lr: 0.05 });
    expect(session.lr).toBe(0.05);
    model.change({ lr: null });
    expect(session.lr).toBeNull();
  });

  it("does not follow the kernel while it is dragged", () => {
    const { model, session } = open({ lr: 0.01 });
    session.startDrag();
    session.pick(0.1);
    model.change({ lr: 0.02 });
    expect(session.lr).toBe(0.1);
    session.endDrag();
    model.change({ lr: 0.05 });
    expect(session.lr).toBe(0.05);
  });

  it("is clamped to the sweep and sent at most every 50 ms, always with the last value", () => {
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
