// The bar at the bottom: the chosen rate as a number; refines, exports and copies it.
import { button, h, on, setAttribute, setClass, setFieldText, setText } from "../dom";
import { copyText } from "../export/clipboard";
import { clampRate } from "../numeric/axis";
import type { Session } from "../state/session";
import { primaryAction } from "../state/tour";
import { formatRate, parseRate } from "../text/format";
import { hasEnded } from "../stream/protocol";
import { describeCost, describeOutside } from "../text/words";
import { situationOf } from "./situation";

const NO_RATE = "There is no rate to export: run a sweep, or pick one.";
const NO_VARIABLE = "There is no kernel whose variable could be written.";

export class PickBar {
  readonly el: HTMLElement;
  private readonly rate = textField("Learning rate", "rate");
  private readonly variable = textField("Variable", "variable");
  private readonly complaint = h("div.complaint", { id: uniqueId(), role: "alert" });
  private readonly exportButton = button("button", "Export");
  private readonly refineButton = button("button", "Refine");
  /** Takes the place of Refine where that cannot run. */
  private readonly checkButton = button("button", "Check", {
    title:
      "Train 100 steps at a third of this rate, at it, and at three times it, and compare. The model is restored.",
  });
  private readonly stopButton = button("button.primary", "Stop", { hidden: true });
  private readonly copyButton = button("button", "Copy");
  /** While the user types, the field is not overwritten. */
  private typing = false;
  private shownRate: number | null = null;

  /** `focusRefinement` moves the focus to the refinement that has begun. */
  constructor(
    private readonly session: Session,
    private readonly focusRefinement: () => void,
  ) {
    const { rate, variable } = this;
    rate.inputMode = "decimal";
    setAttribute(rate, "aria-describedby", this.complaint.id);
    on(rate, "input", () => {
      this.typing = true;
    });
    on(rate, "change", () => {
      this.applyRate();
    });
    onKey(rate, "Enter", () => {
      this.applyRate();
    });
    onKey(rate, "Escape", () => {
      this.showComplaint("");
      this.update();
    });
    on(variable, "change", () => {
      session.traits.variable.set(variable.value);
    });
    onKey(variable, "Enter", () => {
      this.export();
    });
    onKey(variable, "Escape", () => {
      variable.value = session.traits.variable.value;
    });
    on(this.exportButton, "click", () => {
      this.export();
    });
    on(this.copyButton, "click", () => {
      void this.copy();
    });
    on(this.refineButton, "click", () => {
      session.command("refine");
    });
    on(this.checkButton, "click", () => {
      if (this.settled()) session.command("check");
    });
    on(this.stopButton, "click", () => {
      session.command("stop");
    });
    this.el = h(
      "div.pick",
      {},
      h(
        "div.bar",
        {},
        h(
          "div.field",
          {},
          h("label", {}, "Learning rate", rate),
          this.refineButton,
          this.checkButton,
          this.stopButton,
        ),
        h(
          "div.field",
          {},
          h("label", {}, "Variable", variable),
          this.exportButton,
          this.copyButton,
        ),
      ),
      this.complaint,
      h(
        "div.hint",
        {},
        "Export writes the rate into this variable. A queued cell may read the old one.",
      ),
    );
  }

  update(): void {
    const { lr, traits, underWay, check, refinement, detail, status } = this.session;
    const { connected } = this.session.connection;
    if (lr !== this.shownRate) {
      // Another rate was chosen elsewhere: drop a rejected input.
      if (this.rate !== document.activeElement) this.showComplaint("");
      this.shownRate = lr;
    }
    if (!this.typing) setFieldText(this.rate, lr === null ? "" : formatRate(lr, 3));
    if (document.activeElement !== this.variable) this.variable.value = traits.variable.value;
    const noRate = lr === null;
    this.exportButton.disabled = !connected || noRate;
    this.copyButton.disabled = noRate;
    const action = primaryAction(situationOf(this.session));
    setClass(this.exportButton, "primary", action === "export");
    setClass(this.copyButton, "primary", action === "copy");
    setClass(this.refineButton, "primary", action === "refine");
    const swept = hasEnded(status.state) && status.step > 0;
    this.refineButton.disabled = !connected || underWay || !swept;
    this.refineButton.title = swept
      ? `Try rates around the suggestion in short trials and compare them on held-out data: ${describeCost(status, detail)}. The model is restored.`
      : "After a sweep: try rates around the suggestion in short trials and compare them on held-out data.";
    this.checkButton.disabled = !connected || noRate || underWay;
    this.stopButton.disabled = !connected;
    // A button that is hidden passes the focus to the one in its place.
    const places = [this.refineButton, this.checkButton, this.stopButton];
    const focused = places.includes(document.activeElement as HTMLButtonElement);
    const cannotRefine = detail.budget === 0;
    this.refineButton.hidden = this.session.trying || cannotRefine;
    this.checkButton.hidden = this.session.trying || !cannotRefine || Boolean(detail.elsewhere);
    this.stopButton.hidden = !check.underWay;
    if (focused && refinement.underWay) this.focusRefinement();
    else if (focused) places.find(({ hidden }) => !hidden)?.focus();
  }

  private applyRate(): void {
    if (!this.typing) return;
    const lr = parseRate(this.rate.value);
    if (typeof lr === "string") {
      this.showComplaint(lr);
      return;
    }
    const { reach } = this.session;
    this.showComplaint(clampRate(lr, reach) === lr ? "" : describeOutside(lr, reach));
    this.typing = false;
    this.session.pick(lr);
    this.update();
  }

  /** Takes the typed rate; false, with the focus on the field, if that holds none. */
  private settled(): boolean {
    this.applyRate();
    if (!this.typing) return true;
    // An earlier success would seem to be this one's.
    this.session.view.note = null;
    this.session.view.changed();
    this.rate.focus();
    return false;
  }

  /** Says what is wrong with the typed rate, which stays in the field; an empty text clears the complaint. */
  private showComplaint(text: string): void {
    setText(this.complaint, text);
    setAttribute(this.rate, "aria-invalid", String(text !== ""));
    if (text === "") this.typing = false;
  }

  private export(): void {
    const { session } = this;
    if (!this.settled()) return;
    if (!this.exportButton.disabled) session.export(this.variable.value);
    else session.view.notify(false, session.lr === null ? NO_RATE : NO_VARIABLE);
  }

  private async copy(): Promise<void> {
    if (!this.settled()) return;
    const { lr } = this.session;
    if (lr === null) return;
    const text = `${this.variable.value.trim() || "lr"} = ${String(lr)}`;
    await copyText(this.session, text);
  }
}

/** Unique in the page. Random, since each widget has its own copy of this module. */
function uniqueId(): string {
  return `lrw-${Math.random().toString(36).slice(2)}`;
}

function textField(name: string, className: string): HTMLInputElement {
  return h(`input.${className}`, {
    type: "text",
    spellcheck: false,
    autocomplete: "off",
    "aria-label": name,
  });
}

function onKey(input: HTMLInputElement, key: string, action: () => void): void {
  on(input, "keydown", (event) => {
    if (event.key !== key || event.isComposing) return;
    event.preventDefault();
    action();
  });
}
