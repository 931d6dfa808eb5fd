// The bar on top: the buttons that control a run, and its progress.
import { setClass } from "../dom";
import type { Session } from "../state/session";
import { primaryAction } from "../state/tour";
import type { Command, RunState } from "../stream/protocol";
import { formatRate } from "../text/format";
import { describeProgress } from "../text/words";
import { CommandBar } from "./command-bar";
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
  private readonly bar: CommandBar;

  constructor(private readonly session: Session) {
    this.bar = new CommandBar(session, LABELS, "Run", "Steps");
  }

  get el(): HTMLElement {
    return this.bar.el;
  }

  update(): void {
    const { displayedStatus: status, trying, span, detail } = this.session;
    const { connected } = this.session.connection;
    const { buttons, focused } = this.bar;
    const extend = buttons.get("extend")!;
    extend.title = `Go on to ${formatRate(10 * span.high)}: ${detail.adds} more steps, as dense as before.`;
    const shown = BUTTONS[status.state];
    const action = primaryAction(situationOf(this.session));
    for (const [command, button] of buttons) {
      const cannot =
        (command === "extend" && detail.extends === false) ||
        (command === "unblock" && !(detail.blocked && connected));
      button.hidden = !shown.includes(command) || cannot;
      button.disabled = !connected || (command === "start" && trying);
      setClass(button, "primary", command === action);
    }
    // A button that is hidden passes the focus to another: not to Stop, where a second Enter would stop
    // the run that the first one has started.
    if (focused?.hidden) buttons.get(shown.find((name) => name !== "stop")!)!.focus();

    const { step, steps } = status;
    const table = this.session.store.current;
    const last = (table?.length ?? 0) - 1;
    const [lastLr, lastLoss] = [table?.lr[last] ?? NaN, table?.loss[last] ?? NaN];
    const facts = describeProgress(status, lastLr, lastLoss, table?.sweeps);
    this.bar.show(step, steps, `step ${step} of ${steps}`, status.state, facts);
  }
}
