/** Sends a value at once, then at most one per interval; the last value is always sent. */
export class Throttle<T> {
  private timer: ReturnType<typeof setTimeout> | null = null;
  private pending: { value: T } | null = null;

  constructor(
    private readonly send: (value: T) => void,
    private readonly interval: number,
  ) {}

  push(value: T): void {
    if (this.timer !== null) {
      this.pending = { value };
      return;
    }
    this.send(value);
    this.startInterval();
  }

  /** Sends the pending value now. */
  flush(): void {
    const { pending } = this;
    this.pending = null;
    if (pending) this.send(pending.value);
  }

  private startInterval(): void {
    this.timer = setTimeout(() => {
      this.timer = null;
      if (!this.pending) return;
      this.flush();
      this.startInterval();
    }, this.interval);
  }
}
