// How the runs are viewed, which only the page knows; and the listeners that are called after changes.
import type { Span } from "../numeric/axis";

/** What dragging in the plot does. */
export type Mode = "pick" | "zoom" | "range";

export class ViewState {
  showRaw = true;
  mode: Mode = "pick";
  /** The rates to show; null shows all of them. */
  zoom: Span | null = null;
  /** The outcome of the last Export, Copy or pick. */
  note: { ok: boolean; text: string } | null = null;
  private readonly listeners = new Set<() => void>();

  /** Calls the listener after every change, until the signal aborts. */
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

  notify(ok: boolean, text: string): void {
    this.note = { ok, text };
    this.changed();
  }
}
