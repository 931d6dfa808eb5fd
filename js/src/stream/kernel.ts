// The state of the kernel behind the widget, as far as the host shows it.

/**
 * "alive": connected, perhaps busy. "unseen": this host shows no status. "lost": disconnected, but
 * perhaps still running. "gone": it has ended. "replaced": it has ended, and another one runs.
 */
export type KernelState = "alive" | "unseen" | "lost" | "gone" | "replaced";

/** The fields of a model that tell about its kernel; a host may lack any of them. */
export interface KernelSigns {
  comm_live?: boolean | undefined;
  comm?: unknown;
}

/** A connection that is missing for a shorter time is not reported, in milliseconds. */
const LOST_AFTER = 2000;
const POLL_EVERY = 500;
const ENDED: ReadonlySet<unknown> = new Set(["dead", "terminating"]);

/** The state at this moment; a busy kernel is alive. */
export function kernelState({ comm_live, comm }: KernelSigns, manager: unknown): KernelState {
  const services = field(comm, "jsServicesComm") ?? comm;
  const now = field(manager, "kernel");
  // JupyterLab disposes a kernel's comms when the kernel ends or restarts.
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

/** Polls the state of the kernel until the signal aborts. */
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
