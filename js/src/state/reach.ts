// The way to the kernel: whether one is there, and what it is asked and told.
import type { Kernel } from "../stream/kernel";
import type { FromPage, Model, Traits } from "../stream/protocol";
import { type Request, Requests } from "../stream/requests";
import { Looks } from "./view-state";

export class Reach extends Looks {
  /** The kernel as far as it can be seen. */
  kernel: Kernel = "unseen";
  /** Looks whether it is still there, before it is told anything. */
  look: () => void = () => undefined;
  readonly requests = new Requests(() => {
    this.changed();
  });

  constructor(protected readonly model: Model) {
    super();
  }

  /** Whether a kernel is there to answer. */
  get connected(): boolean {
    return this.kernel === "alive" || this.kernel === "unseen";
  }

  /** Whether the kernel that this widget lived in has ended. */
  get orphaned(): boolean {
    return this.kernel === "gone" || this.kernel === "replaced";
  }

  setKernel(kernel: Kernel): void {
    if (kernel === this.kernel) return;
    const wasLost = this.kernel === "lost";
    this.kernel = kernel;
    // What was asked for meanwhile nobody will answer.
    if (!this.connected) this.requests.settle();
    else if (wasLost) this.send({ type: "hello" });
    this.changed();
  }

  protected save(changes: Partial<Traits>): void {
    for (const [name, value] of Object.entries(changes)) {
      this.model.set(name as keyof Traits, value);
    }
    // Where there is no kernel, what was set still goes into the notebook that is saved.
    this.look();
    if (!this.orphaned) this.model.save_changes();
  }

  /** Tells the kernel something, unless it has ended. */
  protected send(message: FromPage): void {
    this.look();
    if (this.orphaned) return;
    try {
      this.model.send(message);
    } catch {
      // The way is closed, before there was anything of it to be seen.
      this.setKernel("gone");
    }
  }

  /** Asks the kernel for something that it answers. */
  protected request(name: Request["name"], message: FromPage): void {
    this.note = null;
    this.look();
    if (this.connected) {
      this.requests.expect(name);
      this.send(message);
    }
    this.changed();
  }
}
