// The exception that ended a run or a check.
import { h, setText } from "../dom";
import { splitError } from "../text/words";

export interface Failure {
  /** "Type: message" */
  error: string | null;
  traceback?: string | null;
}

export class ErrorBox {
  private readonly type = h("strong");
  private readonly message = h("span");
  private readonly pre = h("pre", { tabIndex: 0, role: "group", "aria-label": "Traceback" });
  private readonly details = h("details", {}, h("summary", {}, "Traceback"), this.pre);
  readonly el = h(
    "div.error",
    { hidden: true, role: "group", "aria-label": "Error" },
    h("div", {}, this.type, this.message),
    this.details,
  );

  constructor(private readonly failure: () => Failure | null) {}

  update(): void {
    const { error = null, traceback } = this.failure() ?? {};
    this.el.hidden = error === null;
    if (error === null) return;
    const { type, message } = splitError(error);
    setText(this.type, type);
    setText(this.message, message && `: ${message}`);
    this.details.hidden = !traceback;
    setText(this.pre, traceback ?? "");
  }
}
