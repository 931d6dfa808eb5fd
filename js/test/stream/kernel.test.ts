import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type KernelState, kernelState, KernelWatch } from "../../src/stream/kernel";

const connected = (status: string): unknown => ({
  kernel: { status, connectionStatus: "connected", isDisposed: false },
});
/** A comm as Jupyter's widget manager wraps it. */
const comm = (isDisposed: boolean, kernel?: unknown): unknown => ({
  jsServicesComm: { isDisposed, _kernel: kernel },
});

describe("the kernel behind a model", () => {
  it.each(["idle", "busy", "starting"])("is alive while its status is %s", (status) => {
    expect(kernelState({ comm_live: true, comm: comm(false) }, connected(status))).toBe("alive");
  });
  it("is gone if its comm is not live, or was closed by a shutdown or a restart", () => {
    expect(kernelState({ comm_live: false }, {})).toBe("gone");
    expect(kernelState({ comm_live: true, comm: comm(true) }, { kernel: null })).toBe("gone");
    expect(kernelState({ comm_live: true, comm: comm(true) }, connected("dead"))).toBe("gone");
    expect(kernelState({ comm_live: true, comm: { isDisposed: true } }, undefined)).toBe("gone");
    const ended = { status: "dead", isDisposed: true };
    expect(kernelState({ comm_live: true, comm: comm(false, ended) }, {})).toBe("gone");
  });
  it.each(["dead", "terminating"])("is gone if its status is %s", (status) => {
    expect(kernelState({ comm_live: true }, connected(status))).toBe("gone");
  });
  it("is replaced if another kernel runs now", () => {
    expect(kernelState({ comm_live: false }, connected("idle"))).toBe("replaced");
    expect(kernelState({ comm_live: true, comm: comm(true) }, connected("busy"))).toBe("replaced");
  });
  it.each(["connecting", "disconnected"])("is lost while it is %s", (connectionStatus) => {
    const manager = { kernel: { status: "unknown", connectionStatus } };
    expect(kernelState({ comm_live: true, comm: comm(false) }, manager)).toBe("lost");
  });
  it.each([undefined, null, {}, { kernel: null }, { kernel: "python" }, { kernel: {} }])(
    "cannot be seen in a host that shows %o",
    (manager) => {
      expect(kernelState({}, manager)).toBe("unseen");
      expect(kernelState({ comm_live: true, comm: {} }, manager)).toBe("unseen");
    },
  );
});

describe("the watch", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });
  it("reports an end at once, a lost connection after a while, and each only once", () => {
    let kernel: KernelState = "alive";
    const told = vi.fn();
    const ended = new AbortController();
    const watch = new KernelWatch(() => kernel, told, ended.signal);
    expect(told).toHaveBeenLastCalledWith("alive");
    kernel = "lost";
    vi.advanceTimersByTime(1500);
    expect(told).not.toHaveBeenCalledWith("lost");
    kernel = "alive"; // the connection is restored in time
    vi.advanceTimersByTime(500);
    kernel = "lost";
    vi.advanceTimersByTime(1500);
    expect(told).not.toHaveBeenCalledWith("lost");
    vi.advanceTimersByTime(1500);
    expect(told).toHaveBeenLastCalledWith("lost");
    kernel = "gone";
    watch.poll();
    expect(told).toHaveBeenLastCalledWith("gone");
    ended.abort();
    told.mockClear();
    vi.advanceTimersByTime(5000);
    expect(told).not.toHaveBeenCalled();
  });
});
