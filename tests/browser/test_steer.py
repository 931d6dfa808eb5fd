"""Extending a sweep, choosing a range, and the code snippets."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.harness.cells import END_LR, START_LR, STEPS, open_finder, start
from tests.browser.harness.lab import Lab

RUNS = """
import torch
made = []
for code in {codes!r}:
    scope = {{"torch": torch, "model": model}}
    for before in made[:1]:
        exec(before, scope)
    exec(code, scope)
    made.append(code)
    rates = [group["lr"] for group in scope["optimizer"].param_groups]
    scheduler = scope.get("scheduler")
    for _ in range(200 if scheduler else 0):
        scope["optimizer"].step()
        scheduler.step()
        rates.append(scope["optimizer"].param_groups[0]["lr"])
    results.append([min(rates), max(rates), scope["optimizer"].param_groups[0].get("momentum")])
"""


def test_extend_adds_a_decade_while_it_runs(lab: Lab) -> None:
    finder = open_finder(lab, allowed=30)
    expect(finder.button("Extend")).to_be_hidden()
    start(finder)
    finder.wait_for_rows(30)
    before = finder.rows
    finder.button("Extend").click()
    lab.wait_for("the axis", lambda: finder.mark("raw loss").x_range == [START_LR, 10 * END_LR])
    expect(finder.progress).to_have_attribute("aria-valuemax", str(STEPS + 17))
    finder.click_at(5 * END_LR)  # beyond the end of the original sweep
    finder.wait_for_kernel(pytest.approx(5 * END_LR, rel=0.05))
    lab.allow("steps", 2 * STEPS)
    finder.wait_for_state("finished|diverged")
    rows = finder.kernel_rows
    finder.wait_for_rows(len(rows))
    # After an explosion a loss is so large that JavaScript writes it without an exponent.
    assert [[float(value) for value in row] for row in finder.rows] == rows
    assert rows[:30] == before
    assert rows[STEPS - 1][0] == END_LR
    assert lab.kernel.value("model_is_as_before()")


def test_a_range_is_brushed_resized_and_cleared(lab: Lab) -> None:
    finder = open_finder(lab)
    finder.button("Range").click()
    finder.drag(1e-3, 1e-1)

    def chosen(low: float, high: float) -> bool:
        now = lab.kernel.value("w.lr_range")
        return now is not None and now == pytest.approx([low, high], rel=0.05)

    lab.wait_for("the kernel has the range", lambda: chosen(1e-3, 1e-1))
    assert lab.kernel.value("w.lr") is None

    def shaded() -> bool:
        low, high = lab.kernel.value("w.lr_range")
        box = finder.root.locator(".lrw-range").bounding_box()
        assert box is not None
        ends = [box["x"], box["x"] + box["width"]]
        return ends == pytest.approx([finder.pixel_of(low), finder.pixel_of(high)], abs=2)

    # Kernel and page each lag behind the mouse.
    lab.wait_for("the range is shaded", shaded)
    low, high = lab.kernel.value("w.lr_range")
    finder.drag(high, 1.0)  # the handle of the range
    lab.wait_for("the upper end has moved", lambda: chosen(1e-3, 1.0))
    assert lab.kernel.value("w.lr_range")[0] == low
    # The range is changed from Python and by keyboard.
    lab.kernel.run("w.lr_range = (1e-4, 1e-2)")
    lower = finder.slider("Range of rates, lower end")
    expect(lower).to_have_attribute("aria-valuetext", "learning rate 1e-4")
    lower.press("ArrowRight")
    step = (END_LR / START_LR) ** 0.01
    lab.wait_for("the lower end has moved", lambda: chosen(1e-4 * step, 1e-2))
    finder.slider("Range of rates, upper end").press("End")
    lab.wait_for("the upper end has moved", lambda: chosen(1e-4 * step, END_LR))
    finder.button("Clear range").press("Enter")
    lab.wait_for("no range", lambda: lab.kernel.value("w.lr_range is None"))
    expect(finder.root.locator(".lrw-range")).to_be_hidden()


def test_the_snippets_run(lab: Lab) -> None:
    finder = open_finder(lab, allowed=STEPS)
    start(finder)
    finder.wait_for_state("finished")
    finder.type_lr("1.25e-2")
    lab.kernel.run("w.lr_range = (1e-3, 1e-1); results = []")
    finder.root.get_by_text("Use it in code").click()
    codes = []
    for name in ("optimizer", "OneCycleLR", "CyclicLR"):
        finder.button(f"Copy {name}").click()
        finder.wait_for_text(f"Copied: {name}")
        codes.append(str(lab.page.evaluate("navigator.clipboard.readText()")))
    assert codes[0] == "optimizer = torch.optim.SGD(model.parameters(), lr=1.25e-02, momentum=0.9)"
    lab.kernel.run(RUNS.format(codes=codes))
    plain, one_cycle, cyclic = lab.kernel.value("results")
    assert plain == [1.25e-2, 1.25e-2, 0.9]
    assert one_cycle[0] == pytest.approx(1e-3)
    assert 1e-3 < one_cycle[1] <= 1e-1
    assert cyclic[:2] == pytest.approx([1e-3, 1e-1])
