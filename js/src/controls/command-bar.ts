// Buttons of commands with the progress of what they steer.
import { button, h, on, setAttribute, setText } from "../dom";
import type { Session } from "../state/session";
import type { Command } from "../stream/protocol";

export class CommandBar {
  readonly buttons = new Map<Command, HTMLButtonElement>();
  readonly group: HTMLElement;
  private readonly fill = h("div.fill");
  readonly progress: HTMLElement;
  private readonly facts = h("div.facts");
  readonly el: HTMLElement;

  /** @param name of the group of buttons; @param steps the name of the progress */
  constructor(session: Session, labels: readonly [Command, string][], name: string, steps: string) {
    this.group = h("div.buttons", { role: "group", "aria-label": name });
    for (const [command, label] of labels) {
      const element = button("button", label, { hidden: true });
      on(element, "click", () => {
        session.command(command);
      });
      this.buttons.set(command, element);
      this.group.append(element);
    }
    this.progress = h(
      "div.progress",
      { role: "progressbar", "aria-label": steps, "aria-valuemin": "0" },
      this.fill,
    );
    this.el = h("div.bar.run", {}, this.group, this.progress, this.facts);
  }

  /** The button that has the focus, if any. */
  get focused(): HTMLElement | null {
    return this.group.querySelector(":focus");
  }

  show(step: number, steps: number, spoken: string, state: string, facts: string): void {
    setAttribute(this.progress, "aria-valuemax", String(steps));
    setAttribute(this.progress, "aria-valuenow", String(Math.min(step, steps)));
    setAttribute(this.progress, "aria-valuetext", spoken);
    this.fill.style.transform = `scaleX(${steps > 0 ? Math.min(step / steps, 1) : 0})`;
    this.progress.dataset.state = state;
    setText(this.facts, facts);
  }
}
