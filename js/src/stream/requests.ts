// The request that the kernel has not answered yet, and whether the answer is late.
import type { Command, RunAction } from "./protocol";

/** An answer is late after this many milliseconds. */
const LATE_AFTER = 1000;

export interface Request {
  name: Command | RunAction | "export";
  late: boolean;
}

export class Requests {
  pending: Request | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly onLate: () => void) {}

  /** Notes a request, which replaces the pending one. */
  expect(name: Request["name"]): void {
    this.settle();
    const request: Request = { name, late: false };
    this.pending = request;
    this.timer = setTimeout(() => {
      request.late = true;
      this.onLate();
    }, LATE_AFTER);
  }

  /** Notes the answer to the pending request if it is one of these; without names, to any request. */
  settle(...names: Request["name"][]): void {
    if (names.length && !this.waitsFor(...names)) return;
    clearTimeout(this.timer);
    this.pending = null;
  }

  /** Whether one of these is pending. */
  waitsFor(...names: Request["name"][]): boolean {
    return this.pending !== null && names.includes(this.pending.name);
  }
}
