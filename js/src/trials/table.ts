// The table of trials: a row for each rate.
import { h, setClass } from "../dom";

export class TrialsTable {
  private readonly rows = h("tbody");
  readonly el: HTMLElement;
  private shownRows = "";

  constructor(name: string, columns: readonly string[]) {
    const headings = columns.map((column) => h("th", { scope: "col" }, column));
    const head = h("thead", {}, h("tr", {}, ...headings));
    this.el = h("table", { "aria-label": name }, head, this.rows);
  }

  /** Shows rows of cells, the first of which is a rate, with a sample of its line before it. */
  fill(
    rows: string[][],
    sampleOf: (row: number) => Element,
    isBest: (row: number) => boolean,
  ): void {
    const text = JSON.stringify(rows);
    if (text === this.shownRows) return;
    this.shownRows = text;
    this.rows.replaceChildren(
      ...rows.map(([rate = "", ...rest], i) => {
        const head = h("th", { scope: "row" }, sampleOf(i), rate);
        const row = h("tr", {}, head, ...rest.map((cell) => h("td", {}, cell)));
        setClass(row, "best", isBest(i));
        return row;
      }),
    );
  }
}
