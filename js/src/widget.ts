// The wiring: one session and one chart per widget model, one view for each place it is shown.
import type { AnyWidget } from "@anywidget/types";
import { Chart } from "./chart/figure";
import { kernelOf, realFigure, type RealModel, realModel } from "./host";
import { Session } from "./state/session";
import { KernelWatch } from "./stream/kernel";
import { hasEnded, type Model, type Traits } from "./stream/protocol";
import { View } from "./view";
import "./widget.css";
import "./chart/overlays.css";
import "./controls/toolbar.css";
import "./controls/legend.css";

const NO_HOST =
  "This front-end cannot show a bqplot figure inside another widget. " +
  "Use lr_find(...) and records.plot() here, or open the notebook in JupyterLab.";

/** What the views of one model share. */
class Shared {
  readonly session: Session;
  private readonly views = new Set<View>();
  private readonly gone = new AbortController();
  private frame: number | null = null;
  private chart: Promise<{ chart: Chart; figure: RealModel } | null> | null = null;
  private drawn: Chart | null = null;
  private kept = false;

  constructor(
    private readonly model: Model,
    signal: AbortSignal,
  ) {
    this.session = new Session(model);
    signal.addEventListener("abort", () => {
      this.gone.abort();
    });
    this.session.onChange(() => {
      const { modelId } = this.session;
      if (modelId !== null && !this.kept) {
        this.kept = true;
        void this.keep(modelId);
      }
      this.schedule();
    }, this.gone.signal);
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
    const resized = new ResizeObserver(() => {
      this.schedule();
    });
    resized.observe(view.el);
    signal.addEventListener("abort", () => {
      resized.disconnect();
      this.views.delete(view);
    });
    this.schedule();
    const shown = await view.show(this.model, opened.figure, signal);
    if (!shown) el.textContent = NO_HOST;
  }

  private async open(): Promise<{ chart: Chart; figure: RealModel } | null> {
    const figure = await realFigure(this.model, this.session.figure);
    if (!figure) return null;
    this.drawn = new Chart(figure);
    // Our own model comes as a proxy that does not tell whether its kernel lives; the figure does.
    const watch = new KernelWatch(
      () => kernelOf(this.model, figure),
      (kernel) => {
        this.session.setKernel(kernel);
      },
      this.gone.signal,
    );
    const look = (): void => {
      watch.look();
    };
    this.session.look = look;
    figure.on("comm_live_update", look, this);
    this.gone.signal.addEventListener("abort", () => {
      figure.off(null, null, this);
    });
    return { chart: this.drawn, figure };
  }

  /** Once per frame however much has changed; never in a hidden tab, which has no frames. */
  private schedule(): void {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  private draw(): void {
    const { session, drawn: chart, views } = this;
    if (!chart || views.size === 0) return;
    chart.draw({
      table: session.store.current,
      others: session.others,
      span: session.shown,
      smoothing: session.traits.smoothing.value,
      showRaw: session.showRaw,
      limit: session.traits.y_max.value,
      logY: session.traits.log_y.value,
      lr: session.lr,
      suggestion: session.status.suggestion,
      ended: hasEnded(session.status.state),
      columns: Math.max(...[...views].map((view) => view.plot.columns)),
    });
    for (const view of views) view.update();
  }

  /**
   * The front-end saves into the notebook what the widget's own model holds, which has no rows: they
   * come by messages. From here on it says what the page knows, whenever it is asked. Nothing is sent.
   */
  private async keep(modelId: string): Promise<void> {
    const real = await realModel(this.model, modelId);
    const plain = real?.get_state?.bind(real);
    if (!real || !plain) return;
    real.get_state = (drop) => ({ ...plain(drop), ...this.session.saved() });
  }
}

/** A widget of its own for every model: the host calls this once for each. */
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
