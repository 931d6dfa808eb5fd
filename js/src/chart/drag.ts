// Pressing and dragging in the plot: picks a rate, selects a range of rates, or zooms.
import { h, on } from "../dom";
import { partBetween, tidyRate } from "../numeric/axis";
import type { Session } from "../state/session";
import { describeOutside } from "../text/words";
import { across, isOver, type Place, pointIn, rateOf } from "./place";

/** A pointer that moves no further is a click, in pixels. */
const CLICK_SLACK = 3;
/** Pressing this near to an end of the range moves that end, in pixels. */
const GRAB_DISTANCE = 7;

interface Gesture {
  /** The finger that pressed; another one does not take over. */
  pointer: number;
  /** Where the pointer was pressed, in pixels. */
  x: number;
  /** The fixed end of the range or of the zoom. */
  anchor: number;
  moved: boolean;
}

export class Brush {
  /** Shows the part to zoom to while it is dragged. */
  readonly el = h("div.brush", { hidden: true, "aria-hidden": "true" });
  private gesture: Gesture | null = null;

  constructor(
    private readonly plot: HTMLElement,
    private readonly session: Session,
    private readonly place: () => Place | null,
  ) {
    on(plot, "pointerdown", (event) => {
      this.begin(event);
    });
    on(plot, "pointermove", (event) => {
      this.move(event);
    });
    on(plot, "pointerup", (event) => {
      this.end(event);
    });
    on(plot, "pointercancel", (event) => {
      if (this.ofGesture(event)) this.stop();
    });
    on(plot, "dblclick", () => {
      if (session.view.mode === "zoom") session.view.setZoom(null);
    });
  }

  private begin(event: PointerEvent): void {
    const place = this.place();
    const target = event.target as Element;
    // Two fingers zoom the page.
    if (!event.isPrimary && !this.gesture?.moved) this.gesture = null;
    // bqplot drags the marker itself, in every mode.
    if (!place || !event.isPrimary || event.button !== 0 || target.closest(".object_grp, button"))
      return;
    const at = pointIn(this.plot, event);
    if (!isOver(place, at)) return;
    const { x } = at;
    const { visibleSpan, lrRange, view } = this.session;
    let anchor = rateOf(x, visibleSpan, place);
    if (view.mode === "range" && lrRange) {
      const [low, high] = lrRange;
      const near = (lr: number): boolean =>
        Math.abs(across(lr, visibleSpan, place) - x) <= GRAB_DISTANCE;
      if (near(high)) anchor = low;
      else if (near(low)) anchor = high;
    }
    this.gesture = { pointer: event.pointerId, x, anchor, moved: false };
    this.plot.setPointerCapture(event.pointerId);
  }

  private move(event: PointerEvent): void {
    const { session } = this;
    const gesture = this.ofGesture(event);
    const place = this.place();
    if (!gesture || !place) return;
    const { x } = pointIn(this.plot, event);
    if (!gesture.moved && Math.abs(x - gesture.x) <= CLICK_SLACK) return;
    if (!gesture.moved && session.view.mode !== "zoom") session.startDrag();
    gesture.moved = true;
    const lr = rateOf(x, session.visibleSpan, place);
    if (session.view.mode === "pick") this.pick(lr);
    else if (session.view.mode === "range") this.selectRange(gesture.anchor, lr);
    else this.showSelection(gesture.x, Math.min(Math.max(x, place.left), place.right), place);
  }

  private end(event: PointerEvent): void {
    const { session } = this;
    const gesture = this.ofGesture(event);
    const place = this.place();
    if (!gesture) return;
    this.stop();
    if (!place) return;
    const { x } = pointIn(this.plot, event);
    const lr = rateOf(x, session.visibleSpan, place);
    if (session.view.mode === "pick" && !gesture.moved) this.pick(lr);
    if (session.view.mode !== "zoom" || !gesture.moved) return;
    const part = partBetween(gesture.anchor, lr, session.visibleSpan);
    if (part) session.view.setZoom(part);
  }

  /** The gesture that an event belongs to. */
  private ofGesture({ pointerId }: PointerEvent): Gesture | null {
    return this.gesture?.pointer === pointerId ? this.gesture : null;
  }

  private stop(): void {
    this.gesture = null;
    this.el.hidden = true;
    if (this.session.dragging) this.session.endDrag();
  }

  private pick(lr: number): void {
    const { session } = this;
    const rate = tidyRate(lr, session.visibleSpan);
    session.pick(rate);
    // The rate was clamped: only another run has swept it.
    if (session.lr !== rate) session.view.notify(false, describeOutside(rate, session.reach));
  }

  private selectRange(a: number, b: number): void {
    const { session } = this;
    const [low, high] = [a, b].map((lr) => tidyRate(lr, session.visibleSpan)).sort((p, q) => p - q);
    session.setRange([low!, high!]);
  }

  private showSelection(from: number, to: number, { top, bottom }: Place): void {
    const left = Math.min(from, to);
    this.el.hidden = false;
    this.el.style.cssText = `left:${left}px;width:${Math.abs(to - from)}px;top:${top}px;height:${bottom - top}px`;
  }
}
