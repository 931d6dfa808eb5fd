// Draws the figure's models as SVG, as far as the chart uses bqplot's. The classes are those of bqplot's
// elements, by which the chart and the style sheet find them.
import { h, s, setAttributes } from "../dom";
import type { FigureView, MarkView, RealModel } from "../host";
import { svgText, uprightText } from "../trials/axes";
import { Events } from "./events";
import { handleOf, linesOf } from "./marks";
import { type Scales, type Size, xOf, yOf } from "./places";

export class StandInView extends Events implements FigureView {
  readonly el = h("div");
  readonly mark_views: { views: Promise<MarkView>[] };
  private readonly size: Size = { width: 0, height: 0 };
  private readonly axes = s("g", { class: "axis" });
  private readonly parts: RealModel[];
  private readonly observer: ResizeObserver;

  constructor(private readonly figure: RealModel) {
    super();
    const { left, top, right, bottom } = figure.get("fig_margin") as Record<string, number>;
    const area = s("rect", { class: "plotarea_background", fill: "none" });
    // An inner svg clips to the plot.
    const lines = s("svg");
    const plot = s("g", { transform: `translate(${left!} ${top!})` }, area, this.axes, lines);
    const height = figure.get("height") as number;
    this.el.append(s("svg", { class: "lrw-trials", height }, plot));

    const marks = (figure.get("marks") as RealModel[]).map((model) => {
      const dragged = model.get("enable_move") === true;
      const mark = (dragged ? handleOf : linesOf)(model, this.size);
      (dragged ? plot : lines).append(mark.view.el);
      model.on("change", mark.draw, this);
      return mark;
    });
    this.mark_views = { views: marks.map(({ view }) => Promise.resolve(view)) };
    const drawAxes = (): void => {
      this.drawAxes();
    };
    const draw = (): void => {
      drawAxes();
      for (const mark of marks) mark.draw();
    };
    const models = marks.map(({ view }) => view.model);
    const axes = figure.get("axes") as RealModel[];
    const scales = models.flatMap((model) => {
      const { x, y } = model.get("scales") as Scales;
      return [x, y];
    });
    for (const axis of axes) axis.on("change", drawAxes, this);
    for (const scale of new Set(scales)) scale.on("change", draw, this);
    this.parts = [...models, ...axes, ...scales];
    this.observer = new ResizeObserver(() => {
      this.size.width = Math.max(this.el.clientWidth - left! - right!, 0);
      this.size.height = height - top! - bottom!;
      for (const el of [area, lines]) setAttributes(el, { ...this.size });
      draw();
      this.trigger("margin_updated");
    });
    this.observer.observe(this.el);
  }

  remove(): void {
    this.observer.disconnect();
    for (const part of this.parts) part.off(null, null, this);
    this.el.remove();
  }

  private drawAxes(): void {
    const { width, height } = this.size;
    const [lr, loss] = this.figure.get("axes") as [RealModel, RealModel];
    const ticks = (
      axis: RealModel,
      add: (value: number, label: string) => Element[],
    ): Element[] => {
      const labels = axis.get("tick_labels") as Record<string, string>;
      return (axis.get("tick_values") as number[]).flatMap((value) =>
        add(value, labels[String(value)] ?? ""),
      );
    };
    const scaleOf = (axis: RealModel): RealModel => axis.get("scale") as RealModel;
    this.axes.replaceChildren(
      ...ticks(loss, (value, label) => {
        const y = yOf(value, scaleOf(loss), this.size);
        return [
          s("path", { class: "lrw-grid", d: `M0 ${y}H${width}` }),
          svgText(label, -4, y, "end"),
        ];
      }),
      ...ticks(lr, (value, label) => {
        const x = xOf(value, scaleOf(lr), this.size);
        return [
          s("path", { class: "lrw-axis", d: `M${x} ${height}v6` }),
          svgText(label, x, height + 14, "middle"),
        ];
      }),
      s("path", { class: "lrw-axis", d: `M0 0V${height}H${width}` }),
      svgText(String(lr.get("label")), width, height + 32, "end", "lrw-axis-name"),
      uprightText(String(loss.get("label")), -48, height / 2),
    );
  }
}
