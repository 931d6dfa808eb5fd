// How it is looked at, of which only the page knows; and who is told that something has changed.
import type { Span } from "../numeric/axis";

/** What dragging in the plot does. */
export type Mode = "pick" | "zoom" | "range";

export class Looks {
  showRaw = true;
  /** What dragging in the plot does. */
  mode: Mode = "pick";
  /** The part of the rates to show; null is all of them. */
  zoom: Span | null = null;
  /** What the last Export or Copy had to say. */
  note: { ok: boolean; text: string } | null = null;
  private readonly listeners = new Set<() => void>();

  /** Calls back after every change, until the signal aborts. */
  onChange(listener: () => void, signal: AbortSignal): void {
    this.listeners.add(listener);
    signal.addEventListener("abort", () => this.listeners.delete(listener));
  }

  changed(): void {
    for (const listener of this.listeners) listener();
  }

  setShowRaw(show: boolean): void {
    this.showRaw = show;
    this.changed();
  }

  setMode(mode: Mode): void {
    this.mode = mode;
    this.changed();
  }

  setZoom(zoom: Span | null): void {
    this.zoom = zoom;
    this.changed();
  }

  say(ok: boolean, text: string): void {
    this.note = { ok, text };
    this.changed();
  }
}
