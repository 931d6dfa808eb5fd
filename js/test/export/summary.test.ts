import { describe, expect, it } from "vitest";
import { csvOf, fileName, markdownOf, summaryOf, wrapped } from "../../src/export/summary";
import { Run } from "../../src/state/runs";
import { RunTable } from "../../src/stream/rows";

function table(rows: number[], starts = [0]): RunTable {
  const made = new RunTable(1);
  made.starts = starts;
  made.write(0, Float64Array.from(rows));
  return made;
}

describe("the name of a file", () => {
  it("is the label of the run without characters that file systems reject", () => {
    expect(fileName("svg")).toBe("lr-sweep.svg");
    expect(fileName("csv", "batch_size=64, steps=40")).toBe("lr-sweep-batch_size=64-steps=40.csv");
    expect(fileName("csv", "../größer: a\\b?")).toBe("lr-sweep-..-größer-a-b.csv");
  });
});

describe("csvOf", () => {
  it("keeps all digits", () => {
    const rows = [1.148153621496884e-6, 0.1 + 0.2, 2e-6, NaN, 3e-6, Infinity];
    const [head, ...lines] = csvOf(table(rows)).trim().split("\n");
    expect(head).toBe("lr,loss");
    expect(lines.map((line) => line.split(",")[1])).toEqual(["0.30000000000000004", "nan", "inf"]);
    expect(lines.map((line) => Number(line.split(",")[0]))).toEqual([rows[0], rows[2], rows[4]]);
  });
  it("has a column of the sweep if there are several", () => {
    expect(csvOf(table([1, 2, 3, 4, 1, 5], [0, 2]))).toBe("lr,loss,sweep\n1,2,0\n3,4,0\n1,5,1\n");
  });
});

describe("the summary", () => {
  it("contains the outcome of the run", () => {
    const run = new Run(1, table([1e-3, 2]));
    run.label = "batch_size=64";
    run.updateStatus({ state: "finished", step: 100, steps: 100, suggestion: 1.2e-3 });
    run.detail = {
      span: [1e-6, 1],
      reason: "the loss fell | far",
      confidence: "high",
      stop_reason: "finished",
      suggestions: { auto: 1.2e-3, valley: null },
      landmarks: { falls_at: 1e-4, minimum: 1e-2 },
    };
    expect(markdownOf(summaryOf(run, 1.5e-3, [1e-4, 1e-3])).split("\n")).toEqual([
      "| learning rate finder | |",
      "|---|---|",
      "| run | batch_size=64 |",
      "| range | 1e-6 to 1 |",
      "| steps | 100 of 100, finished |",
      "| suggested rate | 1.2e-3, high confidence: the loss fell \\| far |",
      "| rules | auto 1.2e-3 |",
      "| landmarks | falls at 1e-4, minimum 1e-2 |",
      "| chosen rate | 1.5e-3 |",
      "| chosen range | 1e-4 to 1e-3 |",
      "",
    ]);
  });
});

describe("wrapped", () => {
  const rows = (text: string, room = 10): string[] => wrapped(text, (row) => row.length <= room);

  it("breaks at blanks, and leaves alone what fits", () => {
    expect(rows("")).toEqual([]);
    expect(rows("run: one 1")).toEqual(["run: one 1"]);
    expect(rows("the loss fell from 2.3 to 0.9")).toEqual(["the loss", "fell from", "2.3 to 0.9"]);
  });
  it("breaks a word that is longer than a row, and no character in two", () => {
    expect(rows("run: abcdefghijklmnop q")).toEqual(["run:", "abcdefghij", "klmnop q"]);
    expect(rows("abcdefghi😀😀")).toEqual(["abcdefghi", "😀😀"]);
    expect(rows("😀😀", 0)).toEqual(["😀", "😀"]);
    expect(rows("abc", 0).join("")).toBe("abc");
  });
});
