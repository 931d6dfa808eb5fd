import { describe, expect, it } from "vitest";
import {
  describeCheck,
  describeCheckProgress,
  describeCurves,
  describeTrial,
  offer,
} from "../../src/check/check-words";
import type { CheckDetail, RunState, Status } from "../../src/stream/protocol";

const span = { low: 1e-6, high: 1 };
const detail: CheckDetail = {
  lrs: [0.001, 0.003, 0.009],
  final_losses: [0.81, 0.533, 0.4119],
  stop_reasons: ["finished", "finished", "finished"],
};

function status(state: RunState, more: Partial<Status> = {}): Status {
  return { state, step: 43, steps: 300, elapsed: 4.3, error: null, suggestion: null, ...more };
}

describe("describeCheck", () => {
  it("contains the current rate and nothing that changes with every step", () => {
    const texts = [43, 44].map((step) =>
      describeCheck(status("running", { step }), detail, 2, 0.003, span),
    );
    expect(texts).toEqual(Array(2).fill("Checking 3e-3, 2 of 3."));
  });

  it("compares the best rate with the chosen one, and warns at the edge of what was tried", () => {
    const text = describeCheck(status("finished", { suggestion: 0.009 }), detail, 3, 0.003, span);
    expect(text).toBe(
      "Checked: 9e-3 ended lowest, at loss 0.4119, against 0.533 at the chosen rate. " +
        "It is the highest rate tried: a higher one may do better still.",
    );
    const low = describeCheck(status("finished", { suggestion: 0.001 }), detail, 3, null, span);
    expect(low).toContain("a lower one may do better still");
  });

  it("says if the chosen rate is the best", () => {
    const text = describeCheck(status("finished", { suggestion: 0.003 }), detail, 3, 0.003, span);
    expect(text).toBe("Checked: the chosen rate, 3e-3 ended lowest, at loss 0.533.");
  });

  it("says that a best rate beyond the sweep cannot be taken", () => {
    const beyond = { low: 1e-6, high: 0.005 };
    const text = describeCheck(status("finished", { suggestion: 0.009 }), detail, 3, null, beyond);
    expect(text).toContain("outside the sweep, 1e-6 to 5e-3");
    expect(offer(0.009, null, beyond)).toBeNull();
  });

  it("describes every other outcome", () => {
    const reasons = ["finished", "stopped", null];
    const part = { ...detail, final_losses: [0.8, null, null], stop_reasons: reasons };
    expect(describeCheck(status("stopped"), part, 2, null, span)).toBe(
      "Check stopped: 1 of 3 rates came to the end.",
    );
    expect(describeCheck(status("failed"), part, 2, null, span)).toContain("model is restored");
    expect(describeCheck(status("finished"), part, 3, null, span)).toContain("try lower ones");
    const spoilt = { ...part, notice: "the loss of all rates was not finite in the same step, 5" };
    expect(describeCheck(status("finished"), spoilt, 3, null, span)).toBe(
      "Checked: there is no best rate.",
    );
    expect(describeCheck(status("idle"), part, 0, null, span)).toBe("");
  });
});

describe("offer", () => {
  it("offers the best rate unless it is chosen already", () => {
    expect(offer(0.009, 0.003, span)).toBe(0.009);
    expect(offer(0.003, 0.003, span)).toBeNull();
    expect(offer(null, 0.003, span)).toBeNull();
  });
});

describe("describeTrial", () => {
  it("describes the best, diverged, current and future trials", () => {
    const reasons = { ...detail, stop_reasons: ["finished", "diverged", null] };
    const done = status("finished", { suggestion: 0.001 });
    expect(describeTrial(0, 3, 100, done, reasons)).toBe("best");
    expect(describeTrial(0, 2, 100, status("running"), reasons)).toBe("done");
    expect(describeTrial(1, 3, 12, done, reasons)).toBe("diverged at step 12");
    expect(describeTrial(2, 3, 5, status("running"), reasons)).toBe("running");
    expect(describeTrial(2, 2, 0, status("running"), reasons)).toBe("waiting");
    expect(describeTrial(2, 2, 0, status("stopped"), reasons)).toBe("not tried");
    const broken = { ...detail, stop_reasons: ["non-finite", "exhausted", "stopped"] };
    expect([0, 1, 2].map((i) => describeTrial(i, 3, 7, status("stopped"), broken))).toEqual([
      "loss not finite at step 7",
      "out of data at step 7",
      "stopped at step 7",
    ]);
  });
});

it("describeProgress has step and time left, and is empty after the end", () => {
  expect(describeCheckProgress(status("running"))).toBe("step 43 of 300 · 26 s left");
  expect(describeCheckProgress(status("finished"))).toBe("");
});

it("the summary of the picture has a number for each curve", () => {
  expect(describeCurves(100, detail.lrs, [0.8, 0.5])).toBe(
    "Smoothed loss over 100 steps at each rate, by now 1e-3: 0.8, 3e-3: 0.5.",
  );
});
