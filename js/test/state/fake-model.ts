import { Session } from "../../src/state/session";
import type { Model, RowsMessage, Traits } from "../../src/stream/protocol";

/** A widget model as a host provides it; the test acts as the kernel. */
export class FakeModel {
  sent: Record<string, unknown>[] = [];
  saved: Partial<Traits>[] = [];
  private pending: Partial<Traits> = {};
  private readonly handlers = new Map<string, ((...args: unknown[]) => void)[]>();
  readonly traits: Traits = {
    lr: null,
    lr_range: null,
    smoothing: 0.9,
    y_max: null,
    log_y: false,
    state: "idle",
    step: 0,
    steps: 100,
    suggestion: null,
    error: null,
    variable: "lr",
    figure: "IPY_MODEL_figure",
    _range: [1e-6, 1],
    _detail: {},
    _legend: { active: 1, runs: [], parallel: false },
    _runs: null,
    _hidden: [],
    _check: null,
    _refinement: null,
    _picked: false,
  };

  get<K extends keyof Traits>(name: K): Traits[K] {
    return this.traits[name];
  }
  /** As in Jupyter, what does not change is not saved. */
  set<K extends keyof Traits>(name: K, value: Traits[K]): void {
    if (Object.is(value, this.traits[name])) return;
    this.pending[name] = value;
    this.change({ [name]: value });
  }
  save_changes(): void {
    if (Object.keys(this.pending).length > 0) this.saved.push(this.pending);
    this.pending = {};
  }
  send(content: Record<string, unknown>): void {
    this.sent.push(content);
  }
  on(event: string, handler: (...args: unknown[]) => void): void {
    this.handlers.set(event, [...(this.handlers.get(event) ?? []), handler]);
  }

  /** Sets traits, like the kernel. */
  change(traits: Partial<Traits>): void {
    Object.assign(this.traits, traits);
    for (const name of Object.keys(traits)) this.emit(`change:${name}`);
  }
  /** Sends rows from `offset` on, like the kernel. */
  rows(message: Partial<RowsMessage>, losses: number[] = []): void {
    const pairs = Float64Array.from(losses.flatMap((loss, i) => [1e-3 * (i + 1), loss]));
    const content = { type: "rows", run: 1, offset: 0, starts: [0], ...message };
    this.emit("msg:custom", content, losses.length ? [new DataView(pairs.buffer)] : []);
  }
  emit(event: string, ...args: unknown[]): void {
    for (const handler of this.handlers.get(event) ?? []) handler(...args);
  }
}

export function open(traits: Partial<Traits> = {}): { model: FakeModel; session: Session } {
  const model = new FakeModel();
  Object.assign(model.traits, traits);
  return { model, session: new Session(model as unknown as Model) };
}
