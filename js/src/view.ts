// One view of the widget: its bars and its chart, kept up to date once per frame at most.
import type { Chart } from "./chart/figure";
import { Plot } from "./chart/plot";
import { CheckPanel } from "./check/check-panel";
import { ErrorBox } from "./controls/error-box";
import { LegendBar } from "./controls/legend";
import { PickBar } from "./controls/pick-bar";
import { RunBar } from "./controls/run-bar";
import { Toolbar } from "./controls/toolbar";
import { ViewBar } from "./controls/view-bar";
import { h, setClass, setText } from "./dom";
import { CodePanel } from "./export/code-panel";
import { SaveMenu } from "./export/save-menu";
import { type RealModel, showFigure } from "./host";
import type { Session } from "./state/session";
import type { Model } from "./stream/protocol";
import { describeAlone, describeState, describeWaiting } from "./text/words";

/** A part of the view that shows how things stand. */
interface Part {
  update(): void;
}

export class View {
  readonly el: HTMLElement;
  readonly plot: Plot;
  private readonly parts: readonly Part[];
  // The state comes first and by itself, so that a screen reader hears it and nothing twice.
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
    const pickBar = new PickBar(session);
    const codePanel = new CodePanel(session);
    const checkPanel = new CheckPanel(session);
    this.plot = new Plot(session, chart);
    const toolbar = new Toolbar(session, new SaveMenu(session, this.plot.el).el);
    const legend = new LegendBar(session, () => {
      this.plot.focus();
    });
    this.parts = [
      runBar,
      error,
      toolbar,
      this.plot,
      legend,
      viewBar,
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
      checkPanel.el,
    );
    this.el.className = "lrwidget";
    for (const type of ["focusin", "keydown"]) this.el.addEventListener(type, keepKeys);
  }

  /** Shows the figure; false where the front-end cannot. */
  async show(model: Model, figure: RealModel, signal: AbortSignal): Promise<boolean> {
    const view = await showFigure(model, figure, this.plot.figure, signal);
    if (view) await this.plot.attach(view, signal);
    return view !== null;
  }

  update(): void {
    const { standing, status, detail, span, store, note, kernel } = this.session;
    const { connected, others } = this.session;
    const request = this.session.requests.pending;
    for (const part of this.parts) part.update();
    const idle = !connected && standing.state === "idle";
    const state = describeState(standing, detail, span, store.current?.sweeps);
    setText(this.state, idle ? "Not started." : state);
    let text = note?.text ?? detail.notice ?? "";
    if (request?.late) text = describeWaiting(request.name, kernel === "alive");
    if (!connected) {
      const recorded = Boolean(store.current?.length) || others.length > 0;
      const alone = describeAlone(kernel, standing !== status, recorded);
      text = [alone, text].filter(Boolean).join(" ");
    }
    setText(this.note, text);
    setClass(this.note, "bad", note?.ok === false && !request?.late);
  }
}

/**
 * JupyterLab binds arrows, Enter and single letters to whatever is focused in a notebook, unless that
 * very element says otherwise. Its chords (save, run the cell) go on working from our controls.
 */
function keepKeys(event: Event): void {
  const chord =
    event instanceof KeyboardEvent &&
    (event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter"));
  (event.target as Element).toggleAttribute("data-lm-suppress-shortcuts", !chord);
}
