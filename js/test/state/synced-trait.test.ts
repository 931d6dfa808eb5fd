import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { SyncedTrait } from "../../src/state/synced-trait";
import type { Model } from "../../src/stream/protocol";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** The trait `smoothing`; the test controls both the page and the kernel. */
function bound(accepts?: (value: number) => boolean) {
  let held = 0.9;
  let onChange = (): void => undefined;
  const model = {
    get: () => held,
    on: (_: string, handler: () => void) => {
      onChange = handler;
    },
  };
  const save = vi.fn();
  const changed = vi.fn();
  const trait = new SyncedTrait(model as unknown as Model, "smoothing", save, changed, accepts);
  const setByKernel = (value: number): void => {
    held = value;
    onChange();
  };
  return { trait, save, changed, setByKernel };
}

it("starts with the model's value and takes over the kernel's", () => {
  const { trait, save, changed, setByKernel } = bound();
  expect(trait.value).toBe(0.9);
  setByKernel(0.5);
  expect(trait.value).toBe(0.5);
  expect(changed).toHaveBeenCalledTimes(1);
  setByKernel(0.5);
  expect(changed).toHaveBeenCalledTimes(1);
  expect(save).not.toHaveBeenCalled();
});

it("keeps its value if the kernel's is not accepted", () => {
  const { trait, changed, setByKernel } = bound((value) => value < 0.7);
  setByKernel(0.8);
  expect(trait.value).toBe(0.9);
  expect(changed).not.toHaveBeenCalled();
  setByKernel(0.6);
  expect(trait.value).toBe(0.6);
});

it("changes in the page at once, in the kernel at most every 50 ms, and always sends the last value", () => {
  const { trait, save, changed } = bound();
  for (const value of [0.1, 0.2, 0.3]) trait.set(value);
  expect(trait.value).toBe(0.3);
  expect(changed).toHaveBeenCalledTimes(3);
  expect(save.mock.calls).toEqual([[{ smoothing: 0.1 }]]);
  vi.advanceTimersByTime(50);
  expect(save.mock.lastCall).toEqual([{ smoothing: 0.3 }]);
  trait.set(0.4);
  trait.flush();
  expect(save.mock.lastCall).toEqual([{ smoothing: 0.4 }]);
});
