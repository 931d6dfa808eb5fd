import { describe, expect, it } from "vitest";
import type { RunState, Status } from "../../src/stream/protocol";
import {
  describeOutside,
  describeProgress,
  describeState,
  describeWaiting,
  splitError,
} from "../../src/text/words";

const span = { low: 1e-6, high: 1 };

function status(state: RunState, more: Partial<Status> = {}): Status {
  return { state, step: 43, steps: 100, elapsed: 4.3, error: null, suggestion: null, ...more };
}

describe("describeState", () => {
  it("says what Start would do", () => {
    const text = describeState(status("idle"), {}, span);
    expect(text).toBe("Ready: 100 steps from 1e-6 to 1. The model is restored afterwards.");
  });

  it("stays the same during a run, so that a screen reader reads it once", () => {
    const texts = [1, 2, 3].map((step) => describeState(status("running", { step }), {}, span));
    expect(new Set(texts).size).toBe(1);
  });

  it.each(["paused", "finished", "diverged", "stopped", "failed"] as const)("names %s", (state) => {
    expect(describeState(status(state), {}, span).toLowerCase()).toContain(state);
  });

  it("contains the suggestion and its reason", () => {
    const text = describeState(
      status("finished", { suggestion: 0.0012 }),
      { reason: "loss fell from 2.3 to 0.9" },
      span,
    );
    expect(text).toBe("Finished. Suggested rate 1.2e-3: loss fell from 2.3 to 0.9.");
  });

  it("contains the confidence in the suggestion", () => {
    const detail = { reason: "loss fell", confidence: "low", spread: 0.123 } as const;
    const text = describeState(status("finished", { suggestion: 0.0012 }), detail, span, 3);
    expect(text).toBe(
      "Finished. Suggested rate 1.2e-3, low confidence, spread 0.12 decades over 3 sweeps: loss fell.",
    );
  });

  it("says why there is no suggestion", () => {
    const text = describeState(status("stopped"), { reason: "too few points" }, span);
    expect(text).toBe("Stopped at step 43 of 100. No rate to suggest: too few points.");
  });
});

describe("describeProgress", () => {
  it("contains step, rate, loss and time left", () => {
    const text = describeProgress(status("running"), 1.2e-3, 0.5321);
    expect(text).toBe("step 43 of 100 · lr 1.2e-3 · loss 0.5321 · 6 s left");
  });

  it("contains the number of the sweep from the second sweep on", () => {
    const text = describeProgress(status("finished"), 1, 2, 3);
    expect(text).toBe("step 43 of 100 · sweep 3 · lr 1 · loss 2");
  });

  it("has no time left at the end, and is empty before the start", () => {
    expect(describeProgress(status("finished"), 1, 2)).toBe("step 43 of 100 · lr 1 · loss 2");
    expect(describeProgress(status("idle", { step: 0 }), NaN, NaN)).toBe("");
  });
});

describe("describeWaiting", () => {
  it("names the button", () => {
    expect(describeWaiting("export")).toContain("Export will act when the running cell ends");
    expect(describeWaiting("stop")).toMatch(/^Stop waits for the step in hand/);
  });
  it("does not call the kernel busy if the host shows no status", () => {
    for (const name of ["export", "stop"] as const) {
      expect(describeWaiting(name, false)).toMatch(
        /^No answer from the kernel yet: (Export|Stop) /,
      );
    }
  });
});

describe("describeOutside", () => {
  it("names the rate that was taken in place of one beyond an end", () => {
    expect(describeOutside(5, span)).toBe("5 lies outside of 1e-6 to 1. The rate is 1.");
    expect(describeOutside(1e-9, span)).toBe("1e-9 lies outside of 1e-6 to 1. The rate is 1e-6.");
  });
});

describe("splitError", () => {
  it.each([
    ["ValueError: bad: batch", "ValueError", "bad: batch"],
    ["KeyboardInterrupt", "KeyboardInterrupt", ""],
  ])("parts %s", (error, type, message) => {
    expect(splitError(error)).toEqual({ type, message });
  });
});
