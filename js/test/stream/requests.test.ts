import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Requests } from "../../src/stream/requests";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a request to the kernel", () => {
  it("is late after a second, once, unless it was answered", () => {
    const onLate = vi.fn();
    const requests = new Requests(onLate);
    requests.expect("start");
    vi.advanceTimersByTime(999);
    expect(requests.pending).toEqual({ name: "start", late: false });
    requests.settle();
    vi.advanceTimersByTime(10_000);
    expect([requests.pending, onLate.mock.calls.length]).toEqual([null, 0]);

    requests.expect("start");
    vi.advanceTimersByTime(10_000);
    expect(requests.pending).toEqual({ name: "start", late: true });
    expect(onLate).toHaveBeenCalledOnce();
  });
  it("is replaced by the next request, which again has a second", () => {
    const requests = new Requests(vi.fn());
    requests.expect("pause");
    vi.advanceTimersByTime(800);
    requests.expect("stop");
    vi.advanceTimersByTime(800);
    expect(requests.pending).toEqual({ name: "stop", late: false });
  });
  it("is answered only by its own kind of answer", () => {
    const requests = new Requests(vi.fn());
    requests.expect("rename");
    requests.settle("export");
    expect(requests.waitsFor("rename")).toBe(true);
    requests.settle("activate", "rename", "remove");
    expect(requests.waitsFor("rename")).toBe(false);
  });
});
