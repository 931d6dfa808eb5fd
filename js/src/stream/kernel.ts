// Whether a kernel stands behind the widget, by what the host lets us see of it.

/**
 * "alive": it is there, perhaps busy. "unseen": this host shows nothing of it. "lost": it cannot be
 * reached, but may go on. "gone": it has ended. "replaced": it has ended, and another one is there.
 */
export type KernelState = "alive" | "unseen" | "lost" | "gone" | "replaced";

/** What is looked at of a model and of its manager; none of it need be there. */
export interface KernelSigns {
  comm_live?: boolean | undefined;
  comm?: unknown;
}

/** A moment without a connection is nothing to speak of, in milliseconds. */
const LOST_AFTER = 2000;
const POLL_EVERY = 500;
const ENDED: ReadonlySet<unknown> = new Set(["dead", "terminating"]);

/** How things stand at this moment. A kernel that is only busy has a living status. */
export function kernelState({ comm_live, comm }: KernelSigns, manager: unknown): KernelState {
  const services = field(comm, "jsServicesComm") ?? comm;
  const now = field(manager, "kernel");
  // A kernel's end and its restart close the comms of Jupyter's services, whoever caused them.
  if (comm_live === false || field(services, "isDisposed") === true) {
    return statusOf(now) === "alive" ? "replaced" : "gone";
  }
  const own = statusOf(field(comm, "kernel") ?? field(services, "_kernel") ?? now);
  return own === "gone" && statusOf(now) === "alive" ? "replaced" : own;
}

function statusOf(kernel: unknown): Exclude<KernelState, "replaced"> {
  const status = field(kernel, "status");
  const connection = field(kernel, "connectionStatus");
  if (field(kernel, "isDisposed") === true || ENDED.has(status)) return "gone";
  if (connection === "connecting" || connection === "disconnected") return "lost";
  return typeof status === "string" && status !== "unknown" ? "alive" : "unseen";
}

function field(object: unknown, name: string): unknown {
  if (typeof object !== "object" || object === null) return undefined;
  return (object as Record<string, unknown>)[name];
}

/** Looks again and again, and at once when asked to, until the signal aborts. */
export class KernelWatch {
  private lostSince: number | null = null;

  constructor(
    private readonly read: () => KernelState,
    private readonly report: (kernel: KernelState) => void,
    signal: AbortSignal,
  ) {
    const timer = setInterval(() => {
      this.poll();
    }, POLL_EVERY);
    signal.addEventListener("abort", () => {
      clearInterval(timer);
    });
    this.poll();
  }

  poll(): void {
    const kernel = this.read();
    if (kernel !== "lost") this.lostSince = null;
    else {
      const now = performance.now();
      this.lostSince ??= now;
      if (now - this.lostSince < LOST_AFTER) return;
    }
    this.report(kernel);
  }
}
