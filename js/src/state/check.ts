// The check of a few rates. Its rows are streamed like those of a sweep.
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

const NO_DETAIL: CheckDetail = { lrs: [], final_losses: [], stop_reasons: [] };

export class Check {
  /** The rows; each "sweep" of a table is the trial of one rate. */
  store = new RowStore();
  /** Its suggestion is the best rate. */
  status: Status = NOT_STARTED;
  detail = NO_DETAIL;

  get underWay(): boolean {
    return this.status.state === "running";
  }

  /** Replaces the check by the saved one; null if there is none. */
  loadSaved(saved: SavedCheck | null | undefined): void {
    if (!saved) {
      this.store = new RowStore();
      this.status = NOT_STARTED;
      this.detail = NO_DETAIL;
      return;
    }
    // Messages may have brought a newer state.
    const stale = hasEnded(this.status.state) && !hasEnded(saved.state);
    if (saved.run === this.store.current?.run && stale) return;
    this.receive(saved, saved.data);
  }

  /** Status, detail and rows, as saved with the notebook. */
  saved(): SavedCheck | null {
    const { current } = this.store;
    return current && { type: "check", ...current.saved(), ...this.status, detail: this.detail };
  }

  receive(message: CheckMessage | SavedCheck, data: SavedCheck["data"] | undefined): void {
    const { run, offset, starts, state, step, steps, elapsed, error, suggestion } = message;
    this.store.accept({ run, offset, starts, data: decodeRows(data) });
    const { current } = this.store;
    if (run !== current?.run) return;
    this.status = { state, step, steps, elapsed, error, suggestion };
    if (message.detail) this.detail = message.detail;
    if (hasEnded(state)) current.expect(step);
  }

  /** The missing rows to request at this time (milliseconds). */
  resync(now: number): MissingRows[] {
    return this.store.resync(now).map((ask) => ({ ...ask, of: "check" }));
  }
}
