// The code snippets, in a panel that unfolds.
import { button, h, on } from "../dom";
import type { Session } from "../state/session";
import { copyText } from "./clipboard";
import { snippetsFor } from "./snippets";

export class CodePanel {
  private readonly list = h("div");
  readonly el = h("details.code", { hidden: true }, h("summary", {}, "Use it in code"), this.list);
  private shownSnippets = "";

  constructor(private readonly session: Session) {}

  update(): void {
    const { session } = this;
    const { detail, lr, lrRange } = session;
    const snippets = snippetsFor(detail.optimizer, lr, lrRange);
    const now = JSON.stringify(snippets);
    if (now === this.shownSnippets) return;
    this.shownSnippets = now;
    this.el.hidden = snippets.length === 0;
    const rows = snippets.map(({ name, code }) => {
      const pre = h("pre", { tabIndex: 0, role: "group", "aria-label": name }, code);
      const copy = button("tool", `Copy ${name}`);
      on(copy, "click", () => void copyText(session, code, name));
      return h("div", {}, pre, copy);
    });
    this.list.replaceChildren(...rows);
  }
}
