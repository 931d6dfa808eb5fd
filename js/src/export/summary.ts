// The rows as CSV, and a summary of a run as Markdown.
import type { Refinement } from "../state/refinement";
import type { Run } from "../state/runs";
import type { RunTable } from "../stream/rows";
import { formatRate } from "../text/format";
import { describeSpread } from "../text/words";

/** The file name of a run: its label without characters that file systems reject. */
export function fileName(kind: string, label = ""): string {
  const words = ["lr-sweep", ...(label.match(/[\p{L}\p{N}.=_]+/gu) ?? [])];
  return `${words.join("-").replace(/\.+$/, "")}.${kind}`;
}

/** The rows as CSV with all digits: lr, loss, and with several sweeps the sweep (from 0). */
export function csvOf({ lr, loss, starts, sweeps }: RunTable): string {
  const lines = [`lr,loss${sweeps > 1 ? ",sweep" : ""}`];
  let sweep = -1;
  lr.forEach((rate, i) => {
    if (i === starts[sweep + 1]) sweep++;
    // The row is missing.
    if (Number.isNaN(rate)) return;
    lines.push(`${rate},${number(loss[i]!)}${sweeps > 1 ? `,${sweep}` : ""}`);
  });
  return lines.join("\n") + "\n";
}

/** As Python and pandas write it. */
function number(value: number): string {
  return String(value).replace("Infinity", "inf").replace("NaN", "nan");
}

/** A line of a summary. */
export interface Fact {
  name: string;
  text: string;
}

/** The facts of a run; facts without a value are left out. */
export function summaryOf(
  run: Run,
  lr: number | null,
  range: readonly [number, number] | null,
  refinement: Pick<Refinement, "status" | "detail"> | null = null,
): Fact[] {
  const { label, span, status, detail, table } = run;
  const { suggestion } = status;
  const ends = (low: number, high: number): string => `${formatRate(low)} to ${formatRate(high)}`;
  const { falls_at, minimum, explodes_at } = detail.landmarks ?? {};
  const list = (rates: Record<string, number | null | undefined>): string =>
    Object.entries(rates)
      .flatMap(([name, rate]) => (rate ? `${name} ${formatRate(rate)}` : []))
      .join(", ");
  const why = [
    suggestion === null ? "" : formatRate(suggestion),
    detail.confidence ? `${detail.confidence} confidence` : "",
    typeof detail.spread === "number" ? describeSpread(detail.spread, table.sweeps) : "",
  ];
  const suggested = [why.filter(Boolean).join(", "), detail.reason].filter(Boolean).join(": ");
  const { optimizer } = detail;
  const landmarks = { "falls at": falls_at, minimum, "explodes at": explodes_at };
  const facts: Fact[] = [
    { name: "run", text: label },
    {
      name: "optimizer",
      text: [optimizer?.name, optimizer?.arguments].filter(Boolean).join(", "),
    },
    { name: "range", text: span ? ends(span.low, span.high) : "" },
    {
      name: "steps",
      text: `${status.step} of ${status.steps}, ${detail.stop_reason ?? status.state}`,
    },
    { name: "suggested rate", text: suggested },
    { name: "refined rate", text: refinement ? refined(refinement) : "" },
    { name: "rules", text: list(detail.suggestions ?? {}) },
    { name: "landmarks", text: list(landmarks) },
    { name: "chosen rate", text: lr === null ? "" : formatRate(lr, 3) },
    { name: "chosen range", text: range ? ends(...range) : "" },
  ];
  return facts.filter(({ text }) => text !== "");
}

/** The outcome of a refinement; empty before its end. */
function refined({ status, detail }: Pick<Refinement, "status" | "detail">): string {
  const { reason, confidence } = detail;
  if (reason === "") return "";
  const { suggestion } = status;
  const rate = suggestion === null ? "" : `${formatRate(suggestion)}, ${confidence!} confidence`;
  return [rate, reason].filter(Boolean).join(": ");
}

/** Text in rows that fit, broken at blanks, and a word that is too long for a row anywhere. */
export function wrapped(text: string, fits: (row: string) => boolean): string[] {
  const rows: string[] = [];
  while (text) {
    let end = text.length;
    while (end > 2 && !fits(text.slice(0, end))) {
      const blank = text.lastIndexOf(" ", end - 1);
      end = blank > 0 ? blank : end - 1;
    }
    // Half of a character outside of the basic plane would be no valid text.
    const row = text.slice(0, end).replace(/(?<=.)[\ud800-\udbff]$/, "");
    rows.push(row);
    text = text.slice(row.length).trimStart();
  }
  return rows;
}

/** A table of two columns. */
export function markdownOf(facts: readonly Fact[]): string {
  const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ");
  const rows = facts.map(({ name, text }) => `| ${cell(name)} | ${cell(text)} |`);
  return ["| learning rate finder | |", "|---|---|", ...rows].join("\n") + "\n";
}
