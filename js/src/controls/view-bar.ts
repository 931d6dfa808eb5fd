// The bar below the chart: smoothing, the loss axis and the raw losses. It needs no kernel.
import type { Chart } from "../chart/figure";
import { h, on, setAttribute, setText } from "../dom";
import { limitAt, limitSpan, positionOf, visibleRange } from "../numeric/loss-range";
import type { Session } from "../state/session";
import { formatLoss } from "../text/format";

const WHICH_LINE =
  "The line is smoothed to both sides, so that it does not trail the loss; " +
  "records.smoothed() gives the published average, which looks back only.";

export class ViewBar {
  readonly el: HTMLElement;
  private readonly smoothing = slider("Smoothing", "0.99");
  private readonly smoothingText = h("output");
  private readonly limit = slider("Loss limit", "1");
  private readonly limitText = h("output");
  private readonly auto = h("input", { type: "checkbox", "aria-label": "Automatic loss limit" });
  private readonly repeats = h("span");
  private readonly key = h("span.key", { hidden: true }, swatch("band"), this.repeats);
  private readonly log = h("input", { type: "checkbox", "aria-label": "Logarithmic loss axis" });
  private readonly raw = h("input", { type: "checkbox", "aria-label": "Raw loss" });

  constructor(
    private readonly session: Session,
    private readonly chart: Chart,
  ) {
    on(this.smoothing, "input", () => {
      session.traits.smoothing.set(Number(this.smoothing.value));
    });
    on(this.limit, "input", () => {
      const { range, maxLoss } = chart.autoRange;
      const limit = limitAt(Number(this.limit.value), range, limitSpan(range, maxLoss));
      session.traits.y_max.set(Number(limit.toPrecision(3)));
    });
    on(this.auto, "change", () => {
      session.traits.y_max.set(
        this.auto.checked ? null : Number(chart.autoRange.range.max.toPrecision(3)),
      );
    });
    on(this.log, "change", () => {
      session.traits.log_y.set(this.log.checked);
    });
    on(this.raw, "change", () => {
      session.view.setShowRaw(this.raw.checked);
    });
    this.el = h(
      "div.bar.view",
      {},
      h(
        "label",
        { title: WHICH_LINE },
        swatch("line"),
        "Smoothing",
        this.smoothing,
        this.smoothingText,
      ),
      h(
        "div.field",
        {},
        h("label", {}, "Loss limit", this.limit, this.limitText),
        h("label.check", {}, this.auto, "auto"),
        h("label.check", {}, this.log, "log"),
      ),
      h("label.check", {}, this.raw, swatch("raw"), "raw loss"),
      this.key,
    );
  }

  update(): void {
    const { traits, store, view } = this.session;
    const smoothing = traits.smoothing.value;
    const limit = traits.y_max.value;
    const { range, maxLoss } = this.chart.autoRange;
    setValue(this.smoothing, smoothing);
    setText(this.smoothingText, `${smoothing.toFixed(2)}, both sides`);
    const { max } = visibleRange(range, limit);
    setValue(this.limit, positionOf(max, range, limitSpan(range, maxLoss)));
    const empty = !store.current?.length;
    const text = empty && limit === null ? "" : formatLoss(Number(max.toPrecision(3)));
    setText(this.limitText, text);
    setAttribute(
      this.limit,
      "aria-valuetext",
      limit === null ? `automatic, ${text || "no loss yet"}` : `loss ${text}`,
    );
    this.auto.checked = limit === null;
    const { canBeLog } = this.chart;
    this.log.checked = traits.log_y.value && canBeLog;
    this.log.disabled = !canBeLog;
    this.log.title = canBeLog ? "" : "no loss is above 0";
    this.raw.checked = view.showRaw;
    const sweeps = store.current?.sweeps ?? 0;
    this.key.hidden = sweeps < 2;
    setText(this.repeats, `median and quartiles of ${sweeps} sweeps`);
  }
}

function swatch(kind: string): HTMLElement {
  return h(`span.swatch.swatch-${kind}`, { "aria-hidden": "true" });
}

function slider(name: string, max: string): HTMLInputElement {
  return h("input", { type: "range", min: "0", max, step: "0.01", "aria-label": name });
}

function setValue(input: HTMLInputElement, value: number): void {
  const text = String(value);
  if (input.dataset.value === text) return;
  input.dataset.value = text;
  input.value = text;
}
