// What the kernel was asked to do and has not answered yet: one thing at a time, and whether it is late.
import type { Command, RunAction } from "./protocol";

/** After this long without an answer the kernel counts as busy, in milliseconds. */
const LATE_AFTER = 1000;

export interface Request {
  name: Command | RunAction | "export";
  late: boolean;
}

export class Requests {
  /** What waits for the kernel. */
  pending: Request | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly onLate: () => void) {}

  /** Notes what has been asked for; it takes the place of what was asked before. */
  expect(name: Request["name"]): void {
    this.settle();
    const request: Request = { name, late: false };
    this.pending = request;
    this.timer = setTimeout(() => {
      request.late = true;
      this.onLate();
    }, LATE_AFTER);
  }

  /** Notes that there is an answer, if what waits is one of these, or whatever it is. */
  settle(...names: Request["name"][]): void {
    if (names.length && !this.waitsFor(...names)) return;
    clearTimeout(this.timer);
    this.pending = null;
  }

  /** Whether one of these waits. */
  waitsFor(...names: Request["name"][]): boolean {
    return this.pending !== null && names.includes(this.pending.name);
  }
}
