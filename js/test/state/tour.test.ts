import { describe, expect, it } from "vitest";
import { isFirstSight, primaryAction, type Situation } from "../../src/state/tour";

const NEW: Situation = { state: "idle", trying: false, rate: false, rows: false, connected: true };
const SWEPT: Situation = { ...NEW, state: "finished", rate: true, rows: true };

describe("the primary action", () => {
  it("is Start before a sweep, also where a rate has been picked already", () => {
    expect(primaryAction(NEW)).toBe("start");
    expect(primaryAction({ ...NEW, rate: true })).toBe("start");
  });
  it("ends or resumes what is under way", () => {
    expect(primaryAction({ ...SWEPT, state: "running", rate: false })).toBe("stop");
    expect(primaryAction({ ...SWEPT, state: "running" })).toBe("stop");
    expect(primaryAction({ ...SWEPT, state: "paused" })).toBe("resume");
    expect(primaryAction({ ...SWEPT, trying: true })).toBe("stop");
  });
  it.each(["finished", "diverged", "stopped", "failed"] as const)(
    "is Export after a sweep that is %s with a rate, and Start without one",
    (state) => {
      expect(primaryAction({ ...SWEPT, state })).toBe("export");
      expect(primaryAction({ ...SWEPT, state, rate: false })).toBe("start");
    },
  );
  it("is Refine where the sweep says too little", () => {
    expect(primaryAction({ ...SWEPT, refine: true })).toBe("refine");
    expect(primaryAction({ ...SWEPT, rate: false, refine: true })).toBe("refine");
    expect(primaryAction({ ...SWEPT, trying: true, refine: true })).toBe("stop");
  });
  it("is Copy without a kernel, and nothing without a rate", () => {
    expect(primaryAction({ ...SWEPT, connected: false })).toBe("copy");
    expect(primaryAction({ ...NEW, connected: false })).toBe(null);
    expect(primaryAction({ ...SWEPT, state: "stopped", rate: false, connected: false })).toBe(null);
  });
});

describe("the first sight", () => {
  it("lasts until a rate is picked, a row has come, or something is under way", () => {
    expect(isFirstSight(NEW)).toBe(true);
    expect(isFirstSight({ ...NEW, connected: false })).toBe(true);
    expect(isFirstSight({ ...NEW, rate: true })).toBe(false);
    expect(isFirstSight({ ...NEW, rows: true })).toBe(false);
    expect(isFirstSight({ ...NEW, trying: true })).toBe(false);
    expect(isFirstSight({ ...NEW, state: "running" })).toBe(false);
    expect(isFirstSight({ ...NEW, state: "failed" })).toBe(false);
  });
});
