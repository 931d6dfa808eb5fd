import { describe, expect, it } from "vitest";
import { Check } from "../../src/state/check";
import type { CheckMessage, SavedCheck } from "../../src/stream/protocol";

const detail = { lrs: [0.1, 0.3], final_losses: [null, null], stop_reasons: [null, null] };

function message(more: Partial<CheckMessage> = {}): CheckMessage {
  return {
    type: "check",
    run: 1,
    offset: 0,
    starts: [0],
    state: "running",
    step: 0,
    steps: 6,
    elapsed: 0,
    error: null,
    suggestion: null,
    ...more,
  };
}

function data(losses: number[]): DataView {
  return new DataView(Float64Array.from(losses.flatMap((loss) => [0.1, loss])).buffer);
}

function saved(losses: number[], more: Partial<CheckMessage> = {}): SavedCheck {
  return { ...message({ detail, ...more }), data: data(losses) };
}

describe("a check", () => {
  it("comes from the saved state at first", () => {
    const check = new Check();
    check.loadSaved(saved([3, 2], { state: "finished", step: 2, suggestion: 0.3 }));
    expect([...check.store.current!.loss]).toEqual([3, 2]);
    expect(check.status).toMatchObject({ state: "finished", suggestion: 0.3 });
    expect(check.detail.lrs).toEqual([0.1, 0.3]);
  });

  it("grows with the messages and keeps a detail that they omit", () => {
    const check = new Check();
    check.receive(message({ detail, step: 1 }), data([3]));
    expect(check.underWay).toBe(true);
    check.receive(message({ offset: 1, step: 3, starts: [0, 2] }), data([2, 4]));
    expect([...check.store.current!.loss]).toEqual([3, 2, 4]);
    expect(check.store.current!.starts).toEqual([0, 2]);
    expect(check.detail).toBe(detail);
  });

  it("requests missing rows, in the middle and at the end", () => {
    const check = new Check();
    check.receive(message({ detail, offset: 2, step: 3 }), data([3]));
    expect(check.resync(0)).toEqual([{ run: 1, from: 0, of: "check" }]);
    check.receive(message({ step: 3 }), data([5, 4, 3]));
    expect(check.resync(1)).toEqual([]);
    check.receive(message({ state: "finished", offset: 4, step: 4 }), undefined);
    expect(check.resync(2)).toEqual([{ run: 1, from: 3, of: "check" }]);
  });

  it("replaces the previous check, and is removed if the kernel has none", () => {
    const check = new Check();
    check.receive(message({ detail, state: "finished", step: 2 }), data([3, 2]));
    check.receive(message({ run: 2, detail: { ...detail, lrs: [0.2, 0.4] } }), undefined);
    expect(check.store.current!.length).toBe(0);
    expect(check.detail.lrs).toEqual([0.2, 0.4]);
    check.receive(message({ state: "failed" }), undefined);
    expect(check.status.state).toBe("running");
    check.loadSaved(null);
    expect([check.store.current, check.underWay]).toEqual([null, false]);
  });

  it("is not set back by a state that is older than the messages", () => {
    const check = new Check();
    check.receive(message({ detail, state: "finished", step: 2, suggestion: 0.1 }), data([3, 2]));
    check.loadSaved(saved([3]));
    expect(check.status).toMatchObject({ state: "finished", suggestion: 0.1 });
    expect(check.store.current!.length).toBe(2);
  });
});
