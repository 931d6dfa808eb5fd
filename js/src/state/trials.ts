// Trials whose rows are streamed like those of a sweep: a check or a refinement.
import {
  hasEnded,
  isUnderWay,
  leftBehind,
  type MissingRows,
  NOT_STARTED,
  type Status,
  type TrialsMessage,
} from "../stream/protocol";
import { decodeRows, RowStore } from "../stream/rows";

type Data = Parameters<typeof decodeRows>[0];

export class Trials<Kind extends "check" | "refinement", Detail> {
  store = new RowStore();
  status: Status = NOT_STARTED;
  detail: Detail;

  constructor(
    private readonly kind: Kind,
    private readonly noDetail: Detail,
    private readonly kernelEnded = (): boolean => false,
  ) {
    this.detail = noDetail;
  }

  /** The status to show: trials whose kernel has ended count as stopped. */
  get displayed(): Status {
    return leftBehind(this.status, this.kernelEnded());
  }

  get underWay(): boolean {
    return isUnderWay(this.displayed.state);
  }

  /** Replaces everything by what was saved; null if there is nothing. */
  loadSaved(saved: (TrialsMessage<Kind, Detail> & { data: Data }) | null | undefined): void {
    if (!saved) {
      this.store = new RowStore();
      this.status = NOT_STARTED;
      this.detail = this.noDetail;
      return;
    }
    // Messages may have brought a newer state.
    const stale = hasEnded(this.status.state) && !hasEnded(saved.state);
    if (saved.run === this.store.current?.run && stale) return;
    this.receive(saved, saved.data);
  }

  /** Status, detail and rows, as saved with the notebook. */
  saved(): (TrialsMessage<Kind, Detail> & { data: DataView }) | null {
    const { current } = this.store;
    return current && { type: this.kind, ...current.saved(), ...this.status, detail: this.detail };
  }

  receive(message: TrialsMessage<Kind, Detail>, data: Data): void {
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
    return this.store.resync(now).map((ask) => ({ ...ask, of: this.kind }));
  }
}
