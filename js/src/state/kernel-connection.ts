// The connection to the kernel: whether one is there, and what it is sent.
import type { KernelState } from "../stream/kernel";
import type { FromPage, Model, Traits } from "../stream/protocol";
import { type Request, Requests } from "../stream/requests";
import type { ViewState } from "./view-state";

export class KernelConnection {
  /** The state of the kernel as far as the host shows it. */
  kernel: KernelState = "unseen";
  /** Reads the state of the kernel; called before anything is sent. */
  probeKernel: () => void = () => undefined;
  readonly requests = new Requests(() => {
    this.view.changed();
  });

  constructor(
    private readonly model: Model,
    private readonly view: ViewState,
  ) {}

  /** Whether a kernel is there to answer. */
  get connected(): boolean {
    return this.kernel === "alive" || this.kernel === "unseen";
  }

  /** Whether the kernel that this widget lived in has ended. */
  get kernelEnded(): boolean {
    return this.kernel === "gone" || this.kernel === "replaced";
  }

  setKernel(kernel: KernelState): void {
    if (kernel === this.kernel) return;
    const wasLost = this.kernel === "lost";
    this.kernel = kernel;
    // A request that is still pending will not be answered.
    if (!this.connected) this.requests.settle();
    else if (wasLost) this.send({ type: "hello" });
    this.view.changed();
  }

  saveTraits(changes: Partial<Traits>): void {
    for (const [name, value] of Object.entries(changes)) {
      this.model.set(name as keyof Traits, value);
    }
    // Without a kernel the traits that are set here are still saved with the notebook.
    this.probeKernel();
    if (!this.kernelEnded) this.model.save_changes();
  }

  /** Sends a message, unless the kernel has ended. */
  send(message: FromPage): void {
    this.probeKernel();
    if (this.kernelEnded) return;
    try {
      this.model.send(message);
    } catch {
      // The comm is closed, although the host does not show it yet.
      this.setKernel("gone");
    }
  }

  /** Sends a message to which the kernel replies. */
  request(name: Request["name"], message: FromPage): void {
    this.view.note = null;
    this.probeKernel();
    if (this.connected) {
      this.requests.expect(name);
      this.send(message);
    }
    this.view.changed();
  }
}
