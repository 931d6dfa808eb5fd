// The runs by label: shows and hides them, makes one active, renames and removes them.
import { setRunStyle } from "../chart/styles";
import { button, h, on, s, setAttribute, setClass, setText } from "../dom";
import type { Run } from "../state/runs";
import type { Session } from "../state/session";

/** The limit of the kernel, in characters. */
const MAX_LABEL_LENGTH = 80;

export class LegendBar {
  readonly el = h("ul.legend", { hidden: true, "aria-label": "Runs" });
  private readonly entries = new Map<Run, Entry>();

  /** @param takeFocus takes the focus when the legend is hidden while it has it */
  constructor(
    private readonly session: Session,
    private readonly takeFocus: () => void,
  ) {}

  update(): void {
    const { list, active } = this.session.runs;
    const held = this.el.contains(document.activeElement);
    // The active run alone needs no legend.
    this.el.hidden = list.length < 2 && (list.length === 0 || list[0] === active);
    const focused = [...this.entries.values()].findIndex(({ el }) =>
      el.contains(document.activeElement),
    );
    let gone = false;
    for (const [run, entry] of this.entries) {
      if (list.includes(run)) continue;
      gone ||= entry.el.contains(document.activeElement);
      entry.el.remove();
      this.entries.delete(run);
    }
    for (const run of list) {
      let entry = this.entries.get(run);
      if (!entry) {
        entry = new Entry(this.session, run);
        this.entries.set(run, entry);
        this.el.append(entry.el);
      }
      entry.update();
    }
    if (held && this.el.hidden) this.takeFocus();
    // The focus of a removed entry goes to the entry in its place.
    else if (gone) [...this.entries.values()].at(Math.min(focused, this.entries.size - 1))?.focus();
  }
}

class Entry {
  readonly el: HTMLElement;
  private readonly text = h("span.run-label");
  private readonly line = s("line", { x1: 0, y1: 6, x2: 32, y2: 6 });
  private readonly useButton = button("use");
  private readonly showButton = button("show");
  private readonly renameButton = button("rename");
  private readonly removeButton = button("remove");
  private readonly input = h("input.run-name", {
    type: "text",
    maxLength: MAX_LABEL_LENGTH,
    spellcheck: false,
    autocomplete: "off",
    hidden: true,
  });

  constructor(
    private readonly session: Session,
    private readonly run: Run,
  ) {
    this.showButton.append(s("svg", { "aria-hidden": "true" }, this.line), this.text);
    on(this.useButton, "click", () => {
      if (!this.isActive && session.canActivate) session.activate(run);
    });
    on(this.showButton, "click", () => {
      if (!this.isActive) session.setHidden(run, !session.isHidden(run));
    });
    on(this.renameButton, "click", () => {
      this.startEditing();
    });
    on(this.removeButton, "click", () => {
      if (this.canRemove) session.requestRunAction("remove", run);
    });
    on(this.input, "keydown", (event) => {
      if (event.isComposing || (event.key !== "Enter" && event.key !== "Escape")) return;
      event.preventDefault();
      event.stopPropagation();
      this.endEditing(event.key === "Enter");
      this.renameButton.focus();
    });
    on(this.input, "blur", () => {
      this.endEditing(true);
    });
    this.el = h(
      "li.entry",
      {},
      this.useButton,
      this.showButton,
      this.input,
      this.renameButton,
      this.removeButton,
    );
  }

  update(): void {
    const { session, run, isActive } = this;
    const { label } = run;
    const hidden = session.isHidden(run);
    setText(this.text, label);
    setClass(this.el, "is-active", isActive);
    setClass(this.el, "is-hidden", hidden);
    if (isActive) this.line.dataset.style = this.line.dataset.dash = "active";
    else setRunStyle(this.line, run.style);

    name(this.useButton, `Use ${label}`, isActive ? "The active run" : "Make this the active run");
    setAttribute(this.useButton, "aria-current", String(isActive));
    disable(this.useButton, !isActive && !session.canActivate);

    name(
      this.showButton,
      `Show ${label}`,
      isActive ? label : `${hidden ? "Show" : "Hide"} ${label}`,
    );
    setAttribute(this.showButton, "aria-pressed", String(!hidden));
    // The active run is always drawn.
    disable(this.showButton, isActive);

    name(this.renameButton, `Rename ${label}`, "Rename");
    name(this.removeButton, `Remove ${label}`, "Remove");
    disable(this.removeButton, !this.canRemove);
    // Both need the kernel.
    this.renameButton.hidden = this.removeButton.hidden = !session.connection.connected;
    setAttribute(this.input, "aria-label", `Label of ${label}`);
  }

  focus(): void {
    this.showButton.focus();
  }

  private get isActive(): boolean {
    return this.run === this.session.runs.active;
  }

  private get canRemove(): boolean {
    return !this.session.underWay;
  }

  private startEditing(): void {
    this.input.value = this.run.label;
    this.setEditing(true);
    this.input.focus();
    this.input.select();
  }

  private endEditing(take: boolean): void {
    if (this.input.hidden) return;
    this.setEditing(false);
    const label = this.input.value.trim();
    if (take && label && label !== this.run.label)
      this.session.requestRunAction("rename", this.run, label);
  }

  private setEditing(editing: boolean): void {
    this.input.hidden = !editing;
    this.showButton.hidden = editing;
  }
}

function name(element: HTMLElement, label: string, title: string): void {
  setAttribute(element, "aria-label", label);
  setAttribute(element, "title", title);
}

/** Not `disabled`, which would take away the focus and the title. */
function disable(element: HTMLElement, disabled: boolean): void {
  if (disabled) setAttribute(element, "aria-disabled", "true");
  else element.removeAttribute("aria-disabled");
}
