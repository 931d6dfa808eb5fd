// The bar on top: the buttons that control a run, and its progress.
import { button, h, on, setAttribute, setClass, setText } from "../dom";
import type { Session } from "../state/session";
import { primaryAction } from "../state/tour";
import type { Command, RunState } from "../stream/protocol";
import { formatRate } from "../text/format";
import { describeProgress } from "../text/words";
import { situationOf } from "./situation";

/** The buttons in each state. */
const REST: Command[] = ["start", "unblock"];
const BUTTONS: Record<RunState, Command[]> = {
  idle: REST,
  running: ["stop", "pause", "extend"],
  paused: ["resume", "stop", "extend"],
  finished: REST,
  diverged: REST,
  stopped: REST,
  failed: REST,
};
const LABELS: [Command, string][] = [
  ["start", "Start"],
  ["resume", "Resume"],
  ["pause", "Pause"],
  ["stop", "Stop"],
  ["extend", "Extend"],
  ["unblock", "Stop the other sweep"],
];

export class RunBar {
  readonly el: HTMLElement;
  private readonly buttons = new Map<Command, HTMLButtonElement>();
  private readonly fill = h("div.fill");
  private readonly progress = h(
    "div.progress",
    { role: "progressbar", "aria-label": "Steps", "aria-valuemin": "0" },
    this.fill,
  );
  private readonly facts = h("div.facts");

  constructor(private readonly session: Session) {
    const group = h("div.buttons", { role: "group", "aria-label": "Run" });
    for (const [command, label] of LABELS) {
      const element = button("button", label, { hidden: true });
      on(element, "click", () => {
        session.command(command);
      });
      this.buttons.set(command, element);
      group.append(element);
    }
    this.el = h("div.bar.run", {}, group, this.progress, this.facts);
  }

  update(): void {
    const { displayedStatus: status, trying, span, detail } = this.session;
    const { connected } = this.session.connection;
    const extend = this.buttons.get("extend")!;
    extend.title = `Go on to ${formatRate(10 * span.high)}: ${detail.adds} more steps, as dense as before.`;
    const shown = BUTTONS[status.state];
    const action = primaryAction(situationOf(this.session));
    const focused = [...this.buttons.values()].find((button) => button === document.activeElement);
    for (const [command, button] of this.buttons) {
      const cannot =
        (command === "extend" && detail.extends === false) ||
        (command === "unblock" && !detail.blocked);
      button.hidden = !shown.includes(command) || cannot;
      button.disabled = !connected || (command === "start" && trying);
      setClass(button, "primary", command === action);
    }
    // A button that is hidden passes the focus to another: not to Stop, where a second Enter would stop
    // the run that the first one has started.
    if (focused?.hidden) this.buttons.get(shown.find((name) => name !== "stop")!)!.focus();

    const { step, steps } = status;
    setAttribute(this.progress, "aria-valuemax", String(steps));
    setAttribute(this.progress, "aria-valuenow", String(Math.min(step, steps)));
    setAttribute(this.progress, "aria-valuetext", `step ${step} of ${steps}`);
    this.fill.style.transform = `scaleX(${steps > 0 ? Math.min(step / steps, 1) : 0})`;
    this.progress.dataset.state = status.state;
    const table = this.session.store.current;
    const last = (table?.length ?? 0) - 1;
    const [lastLr, lastLoss] = [table?.lr[last] ?? NaN, table?.loss[last] ?? NaN];
    setText(this.facts, describeProgress(status, lastLr, lastLoss, table?.sweeps));
  }
}
