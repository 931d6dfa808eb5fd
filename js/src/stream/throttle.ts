/** Passes on the last of many calls: at once, then at most one per interval, never losing the last. */
export class Throttle<T> {
  private timer: ReturnType<typeof setTimeout> | null = null;
  private waiting: { value: T } | null = null;

  constructor(
    private readonly send: (value: T) => void,
    private readonly interval: number,
  ) {}

  push(value: T): void {
    if (this.timer !== null) {
      this.waiting = { value };
      return;
    }
    this.send(value);
    this.rest();
  }

  /** Sends what waits, now. */
  flush(): void {
    const { waiting } = this;
    this.waiting = null;
    if (waiting) this.send(waiting.value);
  }

  private rest(): void {
    this.timer = setTimeout(() => {
      this.timer = null;
      if (!this.waiting) return;
      this.flush();
      this.rest();
    }, this.interval);
  }
}
