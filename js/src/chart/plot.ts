// One view of the chart: the figure with everything that is drawn over it, and a slider over the axis
// with which the keyboard moves the marker (the "twin").
import { h, on, setAttribute, setText, within } from "../dom";
import { type FigureView, silenceMarks, type RealModel } from "../host";
import { clampRate, fractionOf, rateAt, tidyRate } from "../numeric/axis";
import type { Session } from "../state/session";
import { formatRate } from "../text/format";
import { Brush } from "./drag";
import type { Chart } from "./figure";
import { type HoveredRow, hoveredRow, rowAt } from "./hover";
import { strideOf } from "./keys";
import { across, inside, isOver, type Place, placeTwin, pointIn } from "./place";
import { RangeBand } from "./range";
import { Regions } from "./regions";
import { RuleTicks } from "./rules";
import { setRunStyle } from "./styles";
import { TriedRates } from "./tried";
import { zoomBy } from "./zoom";

export class Plot {
  /** The element for the figure. */
  readonly figure = h("div.figure");
  private readonly empty = h("div.empty");
  private readonly twin = h("input.twin", { type: "range", min: "0", max: "1", step: "0.001" });
  private readonly hairline = h("div.hairline", { hidden: true });
  private readonly tip = h("div.tip", { hidden: true });
  // Hidden from screen readers: the twin's value and the state say the same.
  private readonly chosen = h("div.label", { "aria-hidden": "true" });
  private readonly suggested = h("div.label", { "aria-hidden": "true" });
  private readonly regions: Regions;
  private readonly rules: RuleTicks;
  private readonly range: RangeBand;
  private readonly tried: TriedRates;
  readonly el: HTMLElement;
  private others: Element | null = null;
  private drawn = false;
  /** Where the pointer hovers in this element. */
  private pointed: DOMRect | null = null;

  constructor(
    private readonly session: Session,
    private readonly chart: Chart,
  ) {
    this.regions = new Regions(session);
    this.rules = new RuleTicks(session);
    this.range = new RangeBand(session);
    this.tried = new TriedRates(session);
    this.el = h(
      "div.chart",
      {},
      this.regions.shades,
      this.rules.under,
      this.range.shade,
      this.figure,
      this.tried.el,
      this.empty,
      this.chosen,
      this.suggested,
      this.regions.names,
      this.hairline,
      this.tip,
      this.twin,
      ...this.range.sliders,
      this.rules.over,
      this.rules.el,
    );
    this.figure.append(new Brush(this.el, session, () => this.place()).el);
    setAttribute(this.twin, "aria-label", "Chosen learning rate");
    on(this.twin, "input", () => {
      session.pick(rateAt(Number(this.twin.value), session.visibleSpan));
    });
    on(this.twin, "keydown", (event) => {
      this.handleKey(event);
    });
    for (const type of ["focus", "blur"] as const) {
      on(this.twin, type, () => {
        this.describeFocusedRow();
      });
    }
    on(this.el, "pointermove", (event) => {
      this.hover(event);
    });
    // A finger cannot hover: the tip stays after a tap.
    const touches = (event: PointerEvent): boolean => event.pointerType === "touch";
    on(this.el, "pointerup", (event) => {
      if (touches(event)) this.hover(event);
    });
    on(this.el, "pointerleave", (event) => {
      if (!touches(event)) this.describeFocusedRow();
    });
  }

  /** Connects the figure's view once its marks are drawn, until the signal aborts. */
  async attach(view: FigureView, signal: AbortSignal): Promise<void> {
    const marks = await silenceMarks(
      view,
      (mark, event) => {
        if (mark.model !== this.chart.mark("marker")) return;
        if (event === "drag_start") {
          this.hideTip();
          this.session.startDrag();
        } else if (event === "drag_end") this.session.endDrag();
      },
      signal,
    );
    if (signal.aborted) return;
    this.others = marks.find(({ model }) => model === this.chart.mark("others"))!.el;
    const model = this.chart.mark("marker");
    this.drawn = true;
    const moved = (): void => {
      if (this.session.dragging) this.markerMoved(model);
      // A drag whose view was removed in its midst still moves the mark.
      else this.session.view.changed();
    };
    model.on("change:x", moved, this);
    // bqplot takes on a new size only a moment after the element has it.
    view.on(
      "margin_updated",
      () => {
        this.session.view.changed();
      },
      this,
    );
    signal.addEventListener("abort", () => {
      // A view that is removed during a drag sends no "drag_end".
      if (this.session.dragging) this.session.endDrag();
      model.off(null, null, this);
      view.off(null, null, this);
    });
    this.session.view.changed();
  }

  /** Width of the plot in pixels. */
  get columns(): number {
    const place = this.place();
    return place ? Math.max(50, Math.round(place.right - place.left)) : 800;
  }

  focus(): void {
    this.twin.focus();
  }

  update(): void {
    const { lr, visibleSpan, status, store, detail } = this.session;
    const { connected } = this.session.connection;
    this.el.dataset.mode = this.session.view.mode;
    // bqplot gives the first curve of every mark the same id; an id must be unique in the page.
    for (const curve of this.figure.querySelectorAll("path[id]")) curve.removeAttribute("id");
    this.others?.querySelectorAll(".curve").forEach((curve, i) => {
      setRunStyle(curve, this.chart.otherStyles[i]!);
    });
    this.twin.value = String(lr === null ? 0.5 : fractionOf(lr, visibleSpan));
    const text = lr === null ? "no learning rate chosen" : `learning rate ${formatRate(lr)}`;
    setAttribute(this.twin, "aria-valuetext", text);
    const place = this.place();
    if (place) placeTwin(this.twin, place);
    this.regions.update(place);
    this.range.update(place);
    this.rules.update(place);
    this.tried.update(place);
    const taken = status.suggestion === lr;
    const suggestion = taken ? null : status.suggestion;
    const doubt = detail.confidence === "low" ? ", low confidence" : "";
    const refined = lr !== null && lr === this.session.refinedRate ? ", refined" : "";
    const chosen = lr === null ? "" : formatRate(lr, 3) + (refined || (taken ? doubt : ""));
    const suggested = suggestion === null ? "" : `suggested ${formatRate(suggestion)}${doubt}`;
    // Each label stands on the side of its line that is away from the other line.
    const first = lr !== null && suggestion !== null && lr < suggestion;
    this.placeLabel(this.chosen, lr, chosen, place, 0, first);
    this.placeLabel(this.suggested, suggestion, suggested, place, 1, lr !== null && !first);
    this.empty.hidden = Boolean(store.current?.length) || this.session.others.length > 0;
    const inviting = status.state === "idle" && connected;
    const waiting = inviting ? "Press Start to see the loss here, step by step." : "";
    setText(this.empty, waiting);
    if (this.focused) this.describeFocusedRow();
    // What is under a pointer at rest may have changed: by a new size or span, smoothing, other runs.
    else if (this.pointed) this.describePointed();
  }

  private get focused(): boolean {
    return this.twin.matches(":focus-visible");
  }

  /** Describes the row at the marker while the twin has the focus, else hides the tip. */
  private describeFocusedRow(): void {
    const { session } = this;
    const { lr, runs, dragging } = session;
    const row = this.focused && lr !== null && rowAt(lr, runs.active, session, this.chart);
    const place = this.place();
    if (!row || !place || dragging) {
      this.hideTip();
      return;
    }
    setAttribute(this.twin, "aria-description", row.lines.join(", "));
    this.showTip(row, place);
  }

  /** Places a label beside a vertical line, on its other side if there is no room. */
  private placeLabel(
    element: HTMLElement,
    lr: number | null,
    text: string,
    place: Place | null,
    row: number,
    left: boolean,
  ): void {
    element.hidden = lr === null || !place;
    if (lr === null || !place) return;
    const { visibleSpan } = this.session;
    const seen = clampRate(lr, visibleSpan);
    // The label of a line outside of the visible span stands at that end, with an arrow.
    const outside = lr < seen ? `‹ ${text}` : `${text} ›`;
    setText(element, seen === lr ? text : outside);
    const at = across(seen, visibleSpan, place);
    const width = element.offsetWidth + 6;
    const toLeft = left ? at - width >= place.left : at + width > place.right;
    element.style.left = `${toLeft ? at - width : at + 6}px`;
    element.style.top = `${place.top + row * 20}px`;
  }

  private markerMoved(model: RealModel): void {
    const at = (model.get("x") as ArrayLike<number>)[0];
    if (at === undefined) return;
    // A drag far beyond the low end can underflow to 0.
    const lr = at > 0 ? at : this.session.visibleSpan.low;
    this.session.pick(tidyRate(lr, this.session.visibleSpan));
    // In a microtask: a value reset inside its own change event triggers no redraw.
    queueMicrotask(() => {
      this.chart.placeMarker(this.session.lr);
    });
  }

  private handleKey(event: KeyboardEvent): void {
    const { session } = this;
    const { lr, visibleSpan } = session;
    const by = strideOf(event);
    const plain = !event.ctrlKey && !event.altKey && !event.metaKey;
    if (by !== null)
      session.pick(rateAt((lr === null ? 0.5 : fractionOf(lr, visibleSpan)) + by, visibleSpan));
    else if (!plain || !zoomBy(session, event.key)) return;
    event.preventDefault();
  }

  private hover(event: PointerEvent): void {
    this.pointed = event.buttons === 0 ? pointIn(this.el, event) : null;
    this.describePointed();
  }

  private describePointed(): void {
    const { session, chart, pointed: at } = this;
    const place = this.place();
    const still = place && at && !session.dragging && isOver(place, at);
    const row = still && hoveredRow(at.x, at.y, session, chart, place);
    if (row) this.showTip(row, place);
    else this.hideTip();
  }

  private showTip(pointed: HoveredRow, place: Place): void {
    const { visibleSpan } = this.session;
    const at = across(clampRate(pointed.lr, visibleSpan), visibleSpan, place);
    setText(this.tip, pointed.lines.join("\n"));
    this.tip.hidden = this.hairline.hidden = false;
    this.hairline.style.cssText = `left:${at}px;top:${place.top}px;height:${place.bottom - place.top}px`;
    const flip = at > (place.left + place.right) / 2;
    const width = this.tip.offsetWidth;
    const left = at + (flip ? -10 - width : 10);
    this.tip.style.left = `${inside(left, width, this.el.offsetWidth)}px`;
    this.tip.style.top = `${place.top + 8}px`;
  }

  private hideTip(): void {
    this.pointed = null;
    this.tip.hidden = this.hairline.hidden = true;
  }

  /** The place of the plot within this element; null until the figure is drawn. */
  private place(): Place | null {
    const plot = this.el.querySelector(".plotarea_background")?.getBoundingClientRect();
    return this.drawn && plot?.width ? within(this.el, plot) : null;
  }
}
