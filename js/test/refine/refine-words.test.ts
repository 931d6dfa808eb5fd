import { describe, expect, it } from "vitest";
import { rungOf, trialColour } from "../../src/chart/styles";
import { summaryOf } from "../../src/export/summary";
import {
  describeBasis,
  describeBudget,
  describeRefinement,
  describeTrial,
  describeTrials,
} from "../../src/refine/refine-words";
import { Refinement, type Trial } from "../../src/state/refinement";
import { Run } from "../../src/state/runs";
import type { RefinementDetail, RunState, Status } from "../../src/stream/protocol";
import { RunTable } from "../../src/stream/rows";
import { formatCount, formatDuration, formatSize } from "../../src/text/format";
import { describeCost, describeNextStep } from "../../src/text/words";

function status(more: Partial<Status> = {}): Status {
  const plain = { state: "running", step: 287, steps: 1500, elapsed: 2.87 } as const;
  return { ...plain, error: null, suggestion: null, ...more };
}

function detail(more: Partial<RefinementDetail> = {}): RefinementDetail {
  return { ...new Refinement().detail, sweep: 1, sweep_steps: 100, ...more };
}

function trial(lr: number, length: number, more: Partial<Trial> = {}): Trial {
  const losses = Float64Array.from({ length }, (_, i) => 1 / (i + 1));
  return { lr, losses, heldOut: [], stopReason: null, ...more };
}

const REASON = "eleven trials of up to 300 steps, 1,290 in all; best at 3e-3";

describe("describeRefinement", () => {
  const said = (state: RunState, more: Partial<RefinementDetail>, lr: number | null): string =>
    describeRefinement(state, status({ suggestion: lr }), detail(more), [
      trial(1e-3, 100, { stopReason: "finished" }),
      trial(3e-3, 43),
    ]);

  it("names the rate in hand and the best so far, and no number that every step changes", () => {
    expect(said("running", { best: 1e-3 }, null)).toBe("Trying 3e-3. Best so far: 1e-3.");
    expect(describeRefinement("running", status(), detail(), [])).toBe("Preparing the trials.");
    expect(said("paused", {}, null)).toBe("Refinement paused.");
  });
  it("names all rates in hand where several are tried at once", () => {
    const trials = [trial(1e-3, 20), trial(3e-3, 100, { stopReason: "finished" }), trial(1e-2, 0)];
    expect(describeRefinement("running", status(), detail(), trials)).toBe("Trying 1e-3, 1e-2.");
    expect(trials.map((one) => describeTrial(one, null, "running"))).toEqual([
      "running, step 20",
      "100 steps",
      "running, step 0",
    ]);
  });
  it("has the choice and its reason at the end", () => {
    const end = { reason: REASON, confidence: "high" } as const;
    expect(said("finished", end, 1.9e-3)).toBe(`Refined rate 1.9e-3, high confidence: ${REASON}.`);
    expect(said("stopped", { ...end, confidence: "low" }, 1.9e-3)).toContain("low confidence");
    expect(said("finished", end, null)).toBe(`No rate to choose: ${REASON}.`);
  });
  it("says how else it ended", () => {
    expect(said("failed", { best: 1e-3, reason: REASON }, null)).toBe(
      "Refinement failed; the model is restored. Best so far: 1e-3.",
    );
    expect(said("stopped", { best: 1e-3 }, null)).toContain("cut off in mid-run");
    expect(said("idle", {}, null)).toBe("");
  });
});

describe("the progress", () => {
  const refinement = new Refinement();
  refinement.detail = detail();
  refinement.status = status();

  it("counts the steps of the sweep too, and is an upper limit", () => {
    const text = "387 of at most 1,500 steps · at most 12 s left";
    expect(describeBudget("running", refinement)).toBe(text);
    expect(describeBudget("paused", refinement)).toBe(text);
    expect(describeBudget("finished", refinement)).toBe("387 of 1,500 steps");
  });
});

it("a trial is told by how far it has come", () => {
  const done = trial(3e-3, 300, { stopReason: "finished" });
  expect(describeTrial(done, 3e-3, "finished")).toBe("best, 300 steps");
  expect(describeTrial(done, 1e-3, "finished")).toBe("300 steps");
  const now = trial(1e-2, 43);
  expect(describeTrial(now, null, "running")).toBe("running, step 43");
  expect(describeTrial(now, null, "paused")).toBe("paused at step 43");
  // The kernel has ended, and cannot say that it was stopped.
  expect(describeTrial(now, null, "stopped")).toBe("stopped at step 43");
  const reasons = ["non-finite", "diverged", "failed", "stopped"];
  expect(
    reasons.map((stopReason) => describeTrial({ ...now, stopReason }, null, "failed")),
  ).toEqual(
    ["loss not finite", "diverged", "failed", "stopped"].map((word) => `${word} at step 43`),
  );
});

it("what is held out and what is kept is said with its size", () => {
  const all = describeBasis(
    detail({
      held_out: "51 of 256 samples, chosen at random",
      untrained: 0.7,
      kept_bytes: 2_100_000,
      kept_in: "disk",
      planned_steps: 2000,
    }),
  );
  expect(all).toEqual([
    "Held out of the trials: 51 of 256 samples, chosen at random, with a loss of 0.7 untrained.",
    "To go on with trials, the states of up to three and the first one are kept on disk: 2.1 MB.",
    "For a training of 2,000 steps.",
  ]);
  expect(describeBasis(detail()).join(" ")).toContain("w.refine(planned_steps=…)");
});

it("the picture's summary has the last held-out loss of each trial", () => {
  const heldOut = [
    [100, 0.5],
    [200, 0.4],
  ] as const;
  expect(describeTrials([trial(1e-3, 250, { heldOut }), trial(1e-2, 7)])).toBe(
    "Held-out and training loss of each trial over its steps; held-out loss 1e-3: 0.4 after 200 " +
      "steps, 1e-2: none yet after 7 steps.",
  );
});

describe("the next step after a sweep", () => {
  const ended = status({ state: "finished", step: 100, steps: 100, elapsed: 10 });

  it("is Refine with its cost where the suggestion is doubtful or missing", () => {
    const low = describeNextStep(
      { ...ended, suggestion: 1e-3 },
      { confidence: "low", budget: 1500 },
    );
    expect(low).toBe(
      "Refine tries rates around it in short trials: at most 1,400 steps, about 2 min.",
    );
    expect(describeNextStep(ended, { budget: 1500 })).toContain("Refine looks for a rate");
  });
  it("is none where the suggestion is good, where none can run, and before the end", () => {
    const high = { confidence: "high", budget: 1500 } as const;
    expect(describeNextStep({ ...ended, suggestion: 1e-3 }, high)).toBe("");
    expect(describeNextStep(ended, { budget: 0 })).toBe("");
    for (const state of ["idle", "running", "paused", "failed"] as const)
      expect(describeNextStep({ ...ended, state }, { budget: 1500 })).toBe("");
    expect(describeNextStep({ ...ended, step: 0 }, { budget: 1500 })).toBe("");
  });
  it("costs steps alone where no time is known", () => {
    expect(describeCost({ ...ended, elapsed: 0 }, { budget: 1500 })).toBe("at most 1,400 steps");
    expect(describeCost({ ...ended, step: 0 }, { budget: 1400 })).toBe("at most 1,400 steps");
  });
});

it("numbers are short", () => {
  expect([formatCount(7), formatCount(1290), formatCount(1e6)]).toEqual([
    "7",
    "1,290",
    "1,000,000",
  ]);
  expect([0, 640, 4096, 2_345_678, 3e12].map(formatSize)).toEqual([
    "0 B",
    "640 B",
    "4.1 kB",
    "2.3 MB",
    "3000 GB",
  ]);
  expect([0.2, 59, 61, 3900].map(formatDuration)).toEqual(["1 s", "59 s", "1 min", "1 h 5 min"]);
});

it("the colour of a trial depends on its rate alone, and six neighbours differ", () => {
  const ladder = Array.from({ length: 13 }, (_, i) => 10 ** (-4.25 + i / 2));
  expect(ladder.map((lr) => rungOf(lr) - rungOf(ladder[0]!))).toEqual([...ladder.keys()]);
  for (let i = 0; i + 6 <= ladder.length; i++)
    expect(new Set(ladder.slice(i, i + 6).map(trialColour)).size).toBe(6);
});

it("the summary of a run has its refined rate", () => {
  const end = { detail: detail({ reason: REASON, confidence: "high" }), status: status() };
  const run = new Run(1, new RunTable(1));
  const factOf = (refinement: typeof end | null): string | undefined =>
    summaryOf(run, 1e-3, null, refinement).find(({ name }) => name === "refined rate")?.text;
  expect(factOf({ ...end, status: status({ suggestion: 1.9e-3 }) })).toBe(
    `1.9e-3, high confidence: ${REASON}`,
  );
  expect(factOf(end)).toBe(REASON);
  expect(factOf({ ...end, detail: detail() })).toBeUndefined();
  expect(factOf(null)).toBeUndefined();
});
