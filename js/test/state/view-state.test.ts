import { expect, it, vi } from "vitest";
import { ViewState } from "../../src/state/view-state";

it("calls its listeners after every change until they are removed", () => {
  const looks = new ViewState();
  const listener = vi.fn();
  const gone = new AbortController();
  looks.onChange(listener, gone.signal);
  looks.setMode("zoom");
  looks.setZoom({ low: 1e-3, high: 1e-2 });
  looks.setShowRaw(false);
  looks.notify(true, "Copied");
  expect(listener).toHaveBeenCalledTimes(4);
  expect(looks).toMatchObject({
    mode: "zoom",
    zoom: { low: 1e-3, high: 1e-2 },
    showRaw: false,
    note: { ok: true, text: "Copied" },
  });
  gone.abort();
  looks.changed();
  expect(listener).toHaveBeenCalledTimes(4);
});
