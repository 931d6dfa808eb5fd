import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Throttle } from "../../src/stream/throttle";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("Throttle", () => {
  it("sends the first at once, then the newest of each interval, and always the last", () => {
    const sent: number[] = [];
    const throttle = new Throttle<number>((value) => sent.push(value), 50);
    for (let i = 0; i < 100; i++) {
      throttle.push(i);
      vi.advanceTimersByTime(10);
    }
    vi.advanceTimersByTime(1000);
    expect(sent[0]).toBe(0);
    expect(sent.at(-1)).toBe(99);
    expect(sent.length).toBeLessThanOrEqual(1 + 1000 / 50 + 1);
    expect([...sent].sort((a, b) => a - b)).toEqual(sent);
  });

  it("sends the pending value once when flushed", () => {
    const sent: number[] = [];
    const throttle = new Throttle<number>((value) => sent.push(value), 50);
    throttle.push(1);
    throttle.push(2);
    throttle.flush();
    expect(sent).toEqual([1, 2]);
    throttle.flush();
    vi.advanceTimersByTime(1000);
    expect(sent).toEqual([1, 2]);
  });
});
