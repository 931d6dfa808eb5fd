// The panel of a refinement: its buttons, its progress within the budget, the choice and its reason in
// words, the curves of its trials, and a table of them.
import { CommandBar } from "../controls/command-bar";
import { ErrorBox } from "../controls/error-box";
import { button, h, on, setClass, setText } from "../dom";
import type { Trial } from "../state/refinement";
import type { Session } from "../state/session";
import type { Command, RunState } from "../stream/protocol";
import { formatCount, formatLoss, formatRate } from "../text/format";
import { smoothed } from "../numeric/smoothing";
import {
  describeBasis,
  describeBudget,
  describeRefinement,
  describeTrial,
  describeTrials,
} from "./refine-words";
import { TrialsTable } from "../trials/table";
import { RefinePlot, sampleOf } from "./refine-plot";
import "./refine-panel.css";

/** Steps that "More steps" adds to the budget, as in lrwidget/widget/refine_run.py. */
const MORE_STEPS = 500;
const LABELS: [Command, string][] = [
  ["resume", "Resume"],
  ["pause", "Pause"],
  ["stop", "Stop"],
  ["extend", "More steps"],
];
const COLUMNS = ["Learning rate", "Training loss", "Held-out loss", "Trial"];

export class RefinePanel {
  private readonly bar: CommandBar;
  private readonly state = h("div.refined", { tabIndex: -1, "aria-live": "polite" });
  private readonly useButton = button("button");
  private readonly error: ErrorBox;
  private readonly plot = new RefinePlot();
  private readonly picture = h("div.trials-box", {}, this.plot.el);
  private readonly table = new TrialsTable("Tried rates", COLUMNS);
  private readonly basis = h("div.hint");
  private readonly key = h(
    "div.hint",
    {},
    "Dots: loss on held-out data, which ranks the trials. Thin: smoothed training loss.",
  );
  readonly el = h("div.trials-panel.refine", {
    hidden: true,
    role: "group",
    "aria-label": "Refinement",
  });
  private drawnFrom: readonly unknown[] = [];

  constructor(private readonly session: Session) {
    this.error = new ErrorBox(() => {
      const { status, detail } = session.refinement;
      return status.state === "failed" ? { ...detail, error: status.error } : null;
    });
    this.bar = new CommandBar(session, LABELS, "Trials", "Steps of the budget");
    on(this.useButton, "click", () => {
      const { offered } = this;
      if (offered === null) return;
      session.pick(offered);
      // The button is about to be hidden.
      this.state.focus();
    });
    this.picture.append(this.key);
    this.el.append(
      this.bar.el,
      h("div.bar.trials-head", {}, this.state, this.useButton),
      this.error.el,
      h("div.trials-body", {}, this.picture, h("div.trials-side", {}, this.table.el)),
      this.basis,
    );
  }

  /** Moves the focus to the first button, as the one that started the refinement disappears. */
  focus(): void {
    this.bar.buttons.get("pause")!.focus();
  }

  update(): void {
    const { refinement, traits } = this.session;
    const { status, detail, trials } = refinement;
    const table = refinement.store.current;
    this.el.hidden = table === null;
    if (!table) return;
    const shown = refinement.displayed.state;
    this.updateButtons(shown);
    this.updateProgress(shown);
    const { list, active } = this.session.runs;
    const other = list.find(({ number }) => number === detail.sweep && number !== active.number);
    const name = other ? `${other.label}: ` : "";
    setText(this.state, name + describeRefinement(shown, status, detail, trials));
    const { offered } = this;
    this.useButton.hidden = offered === null;
    if (offered !== null) setText(this.useButton, `Use ${formatRate(offered)}`);
    this.error.update();
    setText(this.basis, describeBasis(detail).join(" "));

    const { clientWidth: width } = this.picture;
    const smoothing = traits.smoothing.value;
    const reasons = [trials, smoothing, width, shown];
    if (reasons.every((reason, i) => reason === this.drawnFrom[i])) return;
    this.drawnFrom = reasons;
    const { best, untrained } = detail;
    this.plot.draw({ trials, best, untrained, smoothing, width }, describeTrials(trials));
    this.fillTable(trials, best, shown, smoothing);
  }

  private get offered(): number | null {
    const { refinement, lr, runs } = this.session;
    const { suggestion } = refinement.status;
    return suggestion === lr || !this.session.refines(runs.active) ? null : suggestion;
  }

  private updateButtons(state: RunState): void {
    const { connected } = this.session.connection;
    const { underWay } = this.session.refinement;
    const { buttons, focused } = this.bar;
    this.bar.group.hidden = !underWay;
    for (const [command, element] of buttons) {
      const idle = command === (state === "paused" ? "pause" : "resume");
      element.hidden = !underWay || idle;
      element.disabled = !connected;
      setClass(element, "primary", command === "resume");
    }
    const { steps } = this.session.refinement.status;
    const raised = `${formatCount(steps)} to ${formatCount(steps + MORE_STEPS)}`;
    buttons.get("extend")!.title = `Raise the budget from ${raised} steps.`;
    // A button that is hidden passes the focus on, not to Stop, where a second Enter would end it.
    if (focused && !underWay) this.state.focus();
    else if (focused?.hidden) buttons.get(state === "paused" ? "resume" : "pause")!.focus();
  }

  private updateProgress(state: RunState): void {
    const { refinement } = this.session;
    const { spent, status, detail } = refinement;
    const { steps } = status;
    this.bar.progress.hidden = !refinement.underWay;
    const facts = [describeBudget(state, refinement), detail.notice].filter(Boolean).join(" · ");
    const spoken = `${formatCount(spent)} of ${formatCount(steps)} steps`;
    this.bar.show(spent, steps, spoken, state, facts);
  }

  private fillTable(
    trials: readonly Trial[],
    best: number | null,
    state: RunState,
    smoothing: number,
  ): void {
    const cells = trials.map((trial) => {
      const { lr, losses, heldOut } = trial;
      const loss = smoothed(losses, smoothing).at(-1);
      const held = heldOut.at(-1)?.[1];
      return [
        formatRate(lr),
        loss === undefined ? "–" : formatLoss(loss),
        held === undefined ? "–" : formatLoss(held),
        describeTrial(trial, best, state),
      ];
    });
    this.table.fill(
      cells,
      (i) => sampleOf(trials[i]!.lr),
      (i) => trials[i]!.lr === best,
    );
  }
}
