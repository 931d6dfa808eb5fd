// The entry point: one session and one chart per widget model, and a view for each output that shows it.
import type { AnyWidget } from "@anywidget/types";
import { Chart } from "./chart/figure";
import {
  type Figure,
  figureHeight,
  kernelStateOf,
  nestsWidgets,
  realFigure,
  realModel,
} from "./host";
import { standIn } from "./standin/figure";
import { Session } from "./state/session";
import { KernelWatch } from "./stream/kernel";
import { hasEnded, type Model, type Traits } from "./stream/protocol";
import { View } from "./view";
import "./widget.css";
import "./chart/overlays.css";
import "./controls/run-bar.css";
import "./controls/toolbar.css";
import "./chart/drag.css";
import "./export/save-menu.css";
import "./export/code-panel.css";
import "./controls/legend.css";

const NO_HOST =
  "This front-end cannot show a bqplot figure. " +
  "Use lr_find(...) and records.plot() here, or open the notebook in JupyterLab.";

/** The state and the chart that all views of one model share. */
class Shared {
  readonly session: Session;
  private readonly views = new Set<View>();
  private readonly disposed = new AbortController();
  private frame: number | null = null;
  private chart: Promise<{ chart: Chart; figure: Figure } | null> | null = null;
  private openChart: Chart | null = null;
  private savesPageState = false;
  // One for all views, none of which its callback may reach: JupyterLab keeps every observer.
  private readonly resized = new ResizeObserver(() => {
    this.schedule();
  });

  constructor(
    private readonly model: Model,
    signal: AbortSignal,
  ) {
    this.session = new Session(model);
    signal.addEventListener("abort", () => {
      this.disposed.abort();
    });
    this.session.view.onChange(() => {
      const { modelId } = this.session;
      if (modelId !== null && !this.savesPageState) {
        this.savesPageState = true;
        void this.savePageState(modelId);
      }
      this.schedule();
    }, this.disposed.signal);
  }

  async show(el: HTMLElement, signal: AbortSignal): Promise<void> {
    this.chart ??= this.open();
    const opened = await this.chart;
    if (signal.aborted) return;
    if (!opened) {
      el.textContent = NO_HOST;
      return;
    }
    const view = new View(this.session, opened.chart);
    el.append(view.el);
    this.views.add(view);
    this.resized.observe(view.el);
    signal.addEventListener("abort", () => {
      this.views.delete(view);
      // ipywidgets' own view stays with the model, and its element with it.
      view.el.remove();
    });
    this.schedule();
    await view.show(opened.figure, signal);
  }

  private async open(): Promise<{ chart: Chart; figure: Figure } | null> {
    const { model, session } = this;
    const figure = nestsWidgets(model)
      ? await realFigure(model, session.figure)
      : standIn(await figureHeight(model, session.figure));
    if (!figure) return null;
    this.openChart = new Chart(figure.model, () => {
      this.schedule();
    });
    // anywidget's proxy of our own model has no `comm_live`; the figure's model has it.
    const watch = new KernelWatch(
      () => kernelStateOf(model, figure.model),
      (kernel) => {
        session.connection.setKernel(kernel);
      },
      this.disposed.signal,
    );
    const look = (): void => {
      watch.poll();
    };
    session.connection.probeKernel = look;
    figure.model.on("comm_live_update", look, this);
    this.disposed.signal.addEventListener("abort", () => {
      figure.model.off(null, null, this);
    });
    return { chart: this.openChart, figure };
  }

  /** Draws in the next frame; a hidden tab has no frames. */
  private schedule(): void {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  private draw(): void {
    const { session, openChart: chart, views } = this;
    if (!chart || views.size === 0) return;
    chart.draw({
      table: session.store.current,
      others: session.others,
      span: session.visibleSpan,
      showRaw: session.view.showRaw,
      traits: session.traits,
      suggestion: session.status.suggestion,
      ended: hasEnded(session.status.state),
      columns: Math.max(...[...views].map((view) => view.plot.columns)),
    });
    for (const view of views) view.update();
  }

  /**
   * The front-end saves the model's traits with the notebook, but the rows arrive by messages. This
   * makes `get_state` return the page's state as well; nothing is sent.
   */
  private async savePageState(modelId: string): Promise<void> {
    const real = await realModel(this.model, modelId);
    const plain = real?.get_state?.bind(real);
    if (!real || !plain) return;
    real.get_state = (drop) => ({ ...plain(drop), ...this.session.saved() });
  }
}

/** The host calls this once for each model. */
export default function lrwidget(): AnyWidget<Traits> {
  let shared: Shared | null = null;
  return {
    initialize({ model, signal }) {
      shared = new Shared(model, signal);
    },
    async render({ el, signal }) {
      await shared?.show(el, signal);
    },
  };
}
