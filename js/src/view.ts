// One view of the widget: its bars, chart and panels, updated at most once per frame.
import type { Chart } from "./chart/figure";
import { isOver } from "./chart/place";
import { Plot } from "./chart/plot";
import { CheckPanel } from "./check/check-panel";
import { ErrorBox } from "./controls/error-box";
import { LegendBar } from "./controls/legend";
import { PickBar } from "./controls/pick-bar";
import { RunBar } from "./controls/run-bar";
import { situationOf } from "./controls/situation";
import { Toolbar } from "./controls/toolbar";
import { ViewBar } from "./controls/view-bar";
import { h, setClass, setText } from "./dom";
import { CodePanel } from "./export/code-panel";
import { SaveMenu } from "./export/save-menu";
import { type Figure, showFigure } from "./host";
import { RefinePanel } from "./refine/refine-panel";
import type { Session } from "./state/session";
import { isFirstSight } from "./state/tour";
import { formatRate } from "./text/format";
import {
  describeNextStep,
  describeNoKernel,
  describeState,
  describeWaiting,
  join,
} from "./text/words";

interface Panel {
  update(): void;
}

export class View {
  readonly el: HTMLElement;
  readonly plot: Plot;
  private readonly panels: readonly Panel[];
  // An element of its own, so that a screen reader reads the state and nothing else.
  private readonly state = h("div.state", { "aria-live": "polite" });
  private readonly note = h("div.note", { "aria-live": "polite" });

  constructor(
    private readonly session: Session,
    chart: Chart,
  ) {
    const runBar = new RunBar(session);
    const error = new ErrorBox(() => {
      const { status, detail } = session;
      return status.state === "failed" ? { ...detail, error: status.error } : null;
    });
    const viewBar = new ViewBar(session, chart);
    const refinePanel = new RefinePanel(session);
    const pickBar = new PickBar(session, () => {
      refinePanel.focus();
    });
    const codePanel = new CodePanel(session);
    const checkPanel = new CheckPanel(session);
    this.plot = new Plot(session, chart);
    const toolbar = new Toolbar(session, new SaveMenu(session, this.plot.el).el);
    const legend = new LegendBar(session, () => {
      this.plot.focus();
    });
    this.panels = [
      runBar,
      error,
      toolbar,
      this.plot,
      legend,
      viewBar,
      // Before the bar whose button passes the focus to it.
      refinePanel,
      pickBar,
      codePanel,
      checkPanel,
    ];
    this.el = h(
      "div",
      { role: "group", "aria-label": "Learning rate finder" },
      runBar.el,
      this.state,
      error.el,
      toolbar.el,
      this.plot.el,
      legend.el,
      viewBar.el,
      pickBar.el,
      this.note,
      codePanel.el,
      refinePanel.el,
      checkPanel.el,
    );
    this.el.className = "lrwidget";
    for (const type of ["focusin", "keydown"]) this.el.addEventListener(type, keepKeys);
    let first: Element | null;
    let place: DOMRect;
    let until: number;
    // The second click of a double click is not for what has come under the pointer since the first one: Pause
    // in the place of Start, the next run's Remove, the plot below a menu that has closed.
    const keepFirst = (event: MouseEvent): void => {
      const at = (event.target as Element).closest("button");
      const click = event.type === "click";
      if ((click ? event.detail > 1 : event.timeStamp < until) && isOver(place, event, 0)) {
        if (at === first) return;
        event.preventDefault();
        event.stopPropagation();
      } else if (click) {
        first = at;
        place = (event.target as Element).getBoundingClientRect();
        until = at ? event.timeStamp + 500 : 0;
      }
    };
    for (const type of ["pointerdown", "click"] as const)
      this.el.addEventListener(type, keepFirst, true);
  }

  /** Shows the figure until the signal aborts. */
  async show(figure: Figure, signal: AbortSignal): Promise<void> {
    const view = await showFigure(figure, this.plot.figure, signal);
    if (view) await this.plot.attach(view, signal);
  }

  update(): void {
    const { displayedStatus, status, detail, span, store, others } = this.session;
    const { note } = this.session.view;
    const { kernel, connected } = this.session.connection;
    const request = this.session.connection.requests.pending;
    for (const part of this.panels) part.update();
    const idle = !connected && displayedStatus.state === "idle";
    const state = describeState(displayedStatus, detail, span, store.current?.sweeps);
    const { refinedRate } = this.session;
    const refined = this.session.refines(this.session.runs.active);
    let next = connected && !refined ? describeNextStep(displayedStatus, detail) : "";
    if (refinedRate !== null) next = `Refined to ${formatRate(refinedRate)}.`;
    setText(this.state, idle ? "Not started." : join(state, next));
    // What the kernel has answered is of no use without it.
    const answer = connected ? detail.notice : "";
    let text = note?.text ?? answer ?? "";
    if (request?.late) text = describeWaiting(request.name, kernel === "alive");
    if (!connected) {
      const recorded = Boolean(store.current?.length) || others.length > 0;
      const alone = describeNoKernel(kernel, displayedStatus !== status, recorded);
      text = join(alone, text);
    }
    setText(this.note, text);
    setClass(this.note, "bad", note?.ok === false && !request?.late);
    setClass(this.el, "first", isFirstSight(situationOf(this.session)));
    setClass(this.el, "no-rate", this.session.lr === null);
  }
}

/**
 * JupyterLab handles arrows, Enter and single letters wherever the focus is in a notebook, unless the
 * focused element has this attribute. Its shortcuts with modifiers (save, run the cell) keep working. The
 * one for undo must not hear of the key: it would undo the last edit of a cell, not that of our field.
 */
function keepKeys(event: Event): void {
  const { ctrlKey, metaKey, altKey, shiftKey, key } = event as KeyboardEvent;
  const chord = ctrlKey || metaKey || altKey || (shiftKey && key === "Enter");
  (event.target as Element).toggleAttribute("data-lm-suppress-shortcuts", !chord);
  if (key === "z" || key === "Z") event.stopPropagation();
}
