// What is taken away in a file or on the clipboard: the rows, and a summary.
import { describeSpread } from "./words";
import { formatRate } from "./format";
import type { Run } from "./runs";
import type { RunTable } from "./store";

/** What the file of a run is called: its label without what file systems do not like. */
export function fileName(kind: string, label = ""): string {
  const words = ["lr-sweep", ...(label.match(/[\p{L}\p{N}.=_]+/gu) ?? [])];
  return `${words.join("-").replace(/\.+$/, "")}.${kind}`;
}

/** The rows as CSV, the numbers exact: lr, loss, and where there are several the sweep (from 0). */
export function csvOf({ lr, loss, starts, sweeps }: RunTable): string {
  const lines = [`lr,loss${sweeps > 1 ? ",sweep" : ""}`];
  let sweep = -1;
  lr.forEach((rate, i) => {
    if (i === starts[sweep + 1]) sweep++;
    // A row that has not arrived.
    if (Number.isNaN(rate)) return;
    lines.push(`${rate},${number(loss[i]!)}${sweeps > 1 ? `,${sweep}` : ""}`);
  });
  return lines.join("\n") + "\n";
}

/** As Python and pandas write it. */
function number(value: number): string {
  return String(value).replace("Infinity", "inf").replace("NaN", "nan");
}

/** What a run came to, line by line: name and text. */
export function summaryOf(
  run: Run,
  lr: number | null,
  range: readonly [number, number] | null,
): [string, string][] {
  const { label, span, status, detail, table } = run;
  const { suggestion } = status;
  const ends = (low: number, high: number): string => `${formatRate(low)} to ${formatRate(high)}`;
  const { falls_at, minimum, explodes_at } = detail.landmarks ?? {};
  const list = (pairs: [string, number | null | undefined][]): string =>
    pairs.flatMap(([name, rate]) => (rate ? `${name} ${formatRate(rate)}` : [])).join(", ");
  const why = [
    suggestion === null ? "" : formatRate(suggestion),
    detail.confidence ? `${detail.confidence} confidence` : "",
    typeof detail.spread === "number" ? describeSpread(detail.spread, table.sweeps) : "",
  ];
  const suggested = [why.filter(Boolean).join(", "), detail.reason].filter(Boolean).join(": ");
  const lines: [string, string][] = [
    ["run", label],
    ["optimizer", [detail.optimizer?.name, detail.optimizer?.arguments].filter(Boolean).join(", ")],
    ["range", span ? ends(span.low, span.high) : ""],
    ["steps", `${status.step} of ${status.steps}, ${detail.stop_reason ?? status.state}`],
    ["suggested rate", suggested],
    ["rules", list(Object.entries(detail.suggestions ?? {}))],
    [
      "landmarks",
      list([
        ["falls at", falls_at],
        ["minimum", minimum],
        ["explodes at", explodes_at],
      ]),
    ],
    ["chosen rate", lr === null ? "" : formatRate(lr, 3)],
    ["chosen range", range ? ends(...range) : ""],
  ];
  return lines.filter(([, text]) => text);
}

/** A table of two columns. */
export function markdownOf(lines: readonly [string, string][]): string {
  const row = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;
  return ["| learning rate finder | |", "|---|---|", ...lines.map(row)].join("\n") + "\n";
}
