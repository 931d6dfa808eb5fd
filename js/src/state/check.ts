// The check of a few rates: what the kernel says of it. It streams the way the rows of a sweep do.
import {
  type CheckDetail,
  type CheckMessage,
  hasEnded,
  NOT_STARTED,
  type MissingRows,
  type SavedCheck,
  type Status,
} from "../stream/protocol";
import { decodeRows, RowStore } from "../stream/rows";

const UNKNOWN: CheckDetail = { lrs: [], final_losses: [], stop_reasons: [] };

export class Check {
  /** The rows; each "sweep" of a table is the trial of one rate. */
  store = new RowStore();
  /** How it stands; its suggestion is the best rate. */
  status: Status = NOT_STARTED;
  detail = UNKNOWN;

  get underWay(): boolean {
    return this.status.state === "running";
  }

  /** Takes what the widget's state holds: all of it, or null where there has been no check. */
  takeSaved(saved: SavedCheck | null | undefined): void {
    if (!saved) {
      this.store = new RowStore();
      this.status = NOT_STARTED;
      this.detail = UNKNOWN;
      return;
    }
    // Messages may have brought what is newer.
    const stale = hasEnded(this.status.state) && !hasEnded(saved.state);
    if (saved.run === this.store.current?.run && stale) return;
    this.take(saved, saved.data);
  }

  /** All of it, as the widget's state carries it. */
  saved(): SavedCheck | null {
    const { current } = this.store;
    return current && { type: "check", ...current.saved(), ...this.status, detail: this.detail };
  }

  take(message: CheckMessage | SavedCheck, data: SavedCheck["data"] | undefined): void {
    const { run, offset, starts, state, step, steps, elapsed, error, suggestion } = message;
    this.store.accept({ run, offset, starts, data: decodeRows(data) });
    const { current } = this.store;
    if (run !== current?.run) return;
    this.status = { state, step, steps, elapsed, error, suggestion };
    if (message.detail) this.detail = message.detail;
    if (hasEnded(state)) current.expect(step);
  }

  /** What to ask the kernel for at this moment (milliseconds), if anything. */
  resync(now: number): MissingRows[] {
    return this.store.resync(now).map((ask) => ({ ...ask, of: "check" }));
  }
}
