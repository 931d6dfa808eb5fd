// The panel of a check: its state in words, its curves, a table of its rates, and a button for the best.
import { ErrorBox } from "../controls/error-box";
import { button, h, on, setText } from "../dom";
import type { Session } from "../state/session";
import { formatLoss, formatRate } from "../text/format";
import {
  describeCheck,
  describeCheckProgress,
  describeCurves,
  describeTrial,
  offer,
} from "./check-words";
import { lastFinite, trialCurves } from "../trials/curves";
import { TrialsTable } from "../trials/table";
import { swatch, type TrialsPicture, TrialsPlot } from "./trials-plot";
import "./check-panel.css";

const NOTHING = new Float64Array(0);

export class CheckPanel {
  private readonly state = h("div", { tabIndex: -1, "aria-live": "polite" });
  private readonly facts = h("div.facts");
  private readonly useButton = button("button");
  private readonly error: ErrorBox;
  private readonly plot = new TrialsPlot();
  private readonly picture = h("div.trials-box", {}, this.plot.el);
  private readonly table = new TrialsTable("Checked rates", [
    "Learning rate",
    "Final loss",
    "Outcome",
  ]);
  readonly el = h("div.trials-panel", { hidden: true, role: "group", "aria-label": "Check" });
  private drawnFrom: readonly unknown[] = [];

  constructor(private readonly session: Session) {
    this.error = new ErrorBox(() => {
      const { status, detail } = session.check;
      return status.state === "failed" ? { ...detail, error: status.error } : null;
    });
    on(this.useButton, "click", () => {
      const best = this.offered;
      if (best === null) return;
      session.pick(best);
      // The button is about to be hidden.
      this.state.focus();
    });
    this.el.append(
      h("div.bar.trials-head", {}, this.state, this.facts, this.useButton),
      this.error.el,
      h("div.trials-body", {}, this.picture, this.side()),
    );
  }

  update(): void {
    const { check, lr, reach, traits } = this.session;
    const smoothing = traits.smoothing.value;
    const { displayed: status, detail } = check;
    const table = check.store.current;
    this.el.hidden = table === null || detail.lrs.length === 0;
    if (this.el.hidden || !table) return;

    setText(this.state, describeCheck(status, detail, table.starts.length, lr, reach));
    const { notice = "" } = detail;
    setText(this.facts, notice === "" ? describeCheckProgress(status) : notice);
    const offered = this.offered;
    this.useButton.hidden = offered === null;
    if (offered !== null) setText(this.useButton, `Use ${formatRate(offered)}`);
    this.error.update();

    const steps = status.steps / detail.lrs.length;
    const width = this.picture.clientWidth;
    const reasons = [table, table.revision, smoothing, width, status.state, status.suggestion];
    if (reasons.every((reason, i) => reason === this.drawnFrom[i])) return;
    this.drawnFrom = reasons;
    const curves = trialCurves(table.loss, table.starts, smoothing);
    const last = curves.map((curve) => curve[lastFinite(curve)] ?? NaN);
    const picture: TrialsPicture = {
      curves,
      lrs: detail.lrs,
      best: status.suggestion,
      steps,
      width,
    };
    this.plot.draw(picture, describeCurves(steps, detail.lrs, last));
    const rows = detail.lrs.map((rate, i) => {
      const final = detail.final_losses[i] ?? null;
      const { length } = curves[i] ?? NOTHING;
      return [
        formatRate(rate),
        final === null ? "–" : formatLoss(final),
        describeTrial(i, table.starts.length, length, status, detail),
      ];
    });
    this.table.fill(rows, swatch, (i) => rows[i]![2] === "best");
  }

  private get offered(): number | null {
    const { check, lr, reach } = this.session;
    return offer(check.status.suggestion, lr, reach);
  }

  private side(): HTMLElement {
    const note =
      "Final loss is the mean over the last fifth of the steps, or with validation data the last " +
      "loss on them.";
    return h("div.trials-side", {}, this.table.el, h("div.hint", {}, note));
  }
}
