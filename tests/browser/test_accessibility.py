"""Accessibility: axe-core in each state and theme, and use with the keyboard alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from playwright.sync_api import expect

from lrwidget.curve.published_rules import RULES
from tests.browser.harness.axe import UNFOLD, violations
from tests.browser.harness.cells import END_LR, SETUP, START_LR, STEPS, open_finder, start
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import Lab, Theme

CHECK_ENDED = "w._run_list.check is not None and w._run_list.check.state != 'running'"
FAILING = SETUP.replace(
    "return cross_entropy(output, target)",
    """if len(w.records) == 20:
        raise ValueError("the batch is bad")
    return cross_entropy(output, target)""",
)


def idle(finder: Finder) -> None:
    """Leave the widget as it opens."""


def running(finder: Finder) -> None:
    start(finder)
    finder.wait_for_rows(40)


def paused(finder: Finder) -> None:
    running(finder)
    finder.button("Pause").click()
    finder.wait_for_pause()
    finder.lab.allow("steps", 41)
    finder.wait_for_state("paused")


def finished(finder: Finder) -> None:
    start(finder)
    finder.lab.allow("steps", STEPS)
    finder.wait_for_state("finished")


def finished_twice(finder: Finder) -> None:
    """Move the marker away from the suggestion, type an invalid rate, and export."""
    finished(finder)
    finder.button("Start").click()
    finder.lab.allow("steps", 2 * STEPS)
    finder.lab.wait_for(
        "the second run", lambda: finder.lab.kernel.value("w._run_list.active.number == 2")
    )
    finder.wait_for_state("finished")
    finder.slider("Chosen learning rate").press("Home")
    finder.button("Export").click()
    finder.wait_for_text("lr = ")
    finder.type_lr("fast")
    expect(finder.field("Learning rate")).to_have_attribute("aria-invalid", "true")


def failed(finder: Finder) -> None:
    finder.lab.allow("steps", STEPS)
    start(finder)
    finder.wait_for_state("failed")


def added(finder: Finder) -> None:
    finished(finder)
    # Such a run cannot be refined, so that Check is offered.
    finder.lab.kernel.run("w.activate(w.add(w.records))")


def check_running(finder: Finder) -> None:
    added(finder)
    finder.lab.allow("steps", STEPS + 130)
    finder.button("Check").click()
    finder.wait_for_text("Checking")
    finder.lab.wait_for("two curves", lambda: finder.root.locator(".lrw-trial-label").count() == 2)


def check_ended(finder: Finder) -> None:
    added(finder)
    finder.lab.allow("steps", 5 * STEPS)
    finder.button("Check").click()
    finder.lab.wait_for("the check ends", lambda: finder.lab.kernel.value(CHECK_ENDED))
    expect(finder.button("Check")).to_be_visible()


def refining(finder: Finder) -> None:
    finished(finder)
    finder.lab.allow("steps", STEPS + 250)
    finder.button("Refine").click()
    finder.wait_for_text("Best so far")


def refined(finder: Finder) -> None:
    finished(finder)
    finder.lab.allow("steps", 100_000)
    finder.button("Refine").click()
    finder.wait_for_text("Refined rate")


STATES = [
    idle,
    running,
    paused,
    finished,
    finished_twice,
    failed,
    check_running,
    check_ended,
    refining,
    refined,
]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_axe_finds_nothing_in_either_theme(lab: Lab, state: Callable[[Finder], None]) -> None:
    finder = open_finder(lab, allowed=40, setup=FAILING if state is failed else SETUP)
    state(finder)
    finder.root.evaluate(UNFOLD)
    # axe judges only what is visible, and JupyterLab hides what is below the window.
    lab.page.set_viewport_size({"width": 1200, "height": 2400})
    finder.root.scroll_into_view_if_needed()
    found: dict[str, list[str]] = {}
    try:
        for theme in ("light", "dark"):
            lab.theme(theme)
            finder.wait_until_drawn()
            if problems := violations(lab.page):
                found[theme] = problems
    finally:
        lab.theme("light")
    assert found == {}, "\n".join(text for texts in found.values() for text in texts)


def band_of_repeats(finder: Finder) -> None:
    finder.wait_for_text("median and quartiles of 3 sweeps")


def toggle_save_menu(finder: Finder) -> None:
    finder.root.locator("details.lrw-save > summary").click()


def logarithmic(finder: Finder) -> None:
    finder.field("Logarithmic loss axis").check()


def linear(finder: Finder) -> None:
    finder.field("Logarithmic loss axis").uncheck()


def zoomed(finder: Finder) -> None:
    finder.button("Zoom").click()
    finder.drag(1e-4, 1e-1)
    expect(finder.button("Reset zoom")).to_be_visible()


def whole(finder: Finder) -> None:
    finder.button("Reset zoom").click()


def with_a_range(finder: Finder) -> None:
    finder.button("Range").click()
    finder.drag(1e-3, 1e-1)
    expect(finder.button("Clear range")).to_be_visible()


def without_a_range(finder: Finder) -> None:
    finder.button("Clear range").click()
    finder.button("Pick").click()


Mode = tuple[Callable[[Finder], None], Callable[[Finder], None]]
# Each action with the one that reverses it.
MODES: list[Mode] = [
    (band_of_repeats, band_of_repeats),
    (toggle_save_menu, toggle_save_menu),
    (logarithmic, linear),
    (zoomed, whole),
    (with_a_range, without_a_range),
]


def found_in_modes(finder: Finder, themes: Mapping[Theme, Sequence[Mode]]) -> dict[str, list[str]]:
    """Return the violations that axe-core finds in each theme's modes, by mode and theme."""
    found: dict[str, list[str]] = {}
    try:
        for theme, modes in themes.items():
            finder.lab.theme(theme)
            finder.wait_until_drawn()
            for enter, leave in modes:
                enter(finder)
                if problems := violations(finder.lab.page):
                    found[f"{enter.__name__}, {theme}"] = problems
                leave(finder)
    finally:
        finder.lab.theme("light")
    return found


@pytest.mark.parametrize("product", ["pairs", pytest.param("whole", marks=pytest.mark.full)])
def test_axe_finds_nothing_in_any_mode_with_a_kernel_and_without(lab: Lab, product: str) -> None:
    # Of mode, theme and kernel, `pairs` has each combination of two.
    some, others = (MODES[::2], MODES[1::2]) if product == "pairs" else (MODES, MODES)
    lab.page.set_viewport_size({"width": 1200, "height": 2400})
    finder = open_finder(lab, allowed=10 * STEPS, shell="lab")
    lab.save_widget_state()
    lab.kernel.run("w.start()\nw.wait()\nw.start(repeats=3, steps=30)\n_ = w.wait()")
    assert found_in_modes(finder, {"light": some, "dark": others}) == {}
    lab.close_notebook(shut_down_kernel=True)
    lab.reopen_notebook()
    finder.wait_for_text("No kernel")
    assert found_in_modes(finder, {"light": others, "dark": some}) == {}


# Name and outline of the focused element; None if it is outside of the widget.
FOCUSED = """
(root) => {
  const focused = document.activeElement;
  if (!root.contains(focused)) return null;
  const { outlineStyle, outlineWidth } = getComputedStyle(focused);
  const labels = [...(focused.labels ?? [])].map((label) => label.innerText).join(' ');
  return {
    name: focused.getAttribute('aria-label') ?? (labels || focused.innerText),
    outlined: outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2,
  };
}
"""


def focused(finder: Finder) -> dict[str, Any] | None:
    """Return the focused element within the widget."""
    found: dict[str, Any] | None = finder.root.evaluate(FOCUSED)
    return found


def tab_to(finder: Finder, name: str, key: str = "Tab") -> None:
    """Press Tab until the control with this name has the focus."""
    for _ in range(80):
        now = focused(finder)
        if now and now["name"] == name:
            return
        finder.lab.page.keyboard.press(key)
    raise AssertionError(f"{key} does not lead to {name!r}")


def from_the_cell_to(finder: Finder, name: str) -> None:
    """Press Tab from the cell that has just been run."""
    finder.lab.page.evaluate("labTest.cell(1).editor.focus()")
    finder.lab.page.keyboard.press("Escape")
    tab_to(finder, name)


def tab_stops(finder: Finder) -> list[dict[str, Any]]:
    """Return every stop from the first control until Tab leaves the widget."""
    stops = []
    while (now := focused(finder)) is not None:
        stops.append(now)
        assert len(stops) < 80, "Tab does not leave the widget"
        finder.lab.page.keyboard.press("Tab")
    return stops


def test_tab_visits_everything_in_the_order_of_the_page(lab: Lab) -> None:
    finder = open_finder(lab, allowed=STEPS)
    finished(finder)
    from_the_cell_to(finder, "Start")
    stops = tab_stops(finder)
    names = [stop["name"] for stop in stops]
    order = ["Start", "Chosen learning rate", "Smoothing", "Loss limit", "Automatic loss limit"]
    order += ["Raw loss", "Learning rate", "Refine", "Variable", "Export", "Copy"]
    assert [name for name in names if name in order] == order
    assert len(set(names)) == len(names)
    assert [stop["name"] for stop in stops if not stop["outlined"]] == []


# All controls of a widget with two runs and a range, except the ticks of the rules: their order
# is that of their rates.
CONTROLS = ["Start", "Pick", "Zoom", "Range", "Clear range", "Save"]
CONTROLS += ["Chosen learning rate", "Range of rates, lower end", "Range of rates, upper end"]
CONTROLS += [
    f"{act} {run}" for run in ("run 1", "again") for act in ("Use", "Show", "Rename", "Remove")
]
CONTROLS += ["Smoothing", "Loss limit", "Automatic loss limit", "Logarithmic loss axis", "Raw loss"]
CONTROLS += ["Learning rate", "Refine", "Variable", "Export", "Copy", "Use it in code"]


def test_tab_visits_every_control_of_two_runs_and_a_range(lab: Lab) -> None:
    finder = open_finder(lab, allowed=2 * STEPS)
    lab.kernel.run("w.start()\nw.wait()\nw.start(label='again')\n_ = w.wait()")
    lab.kernel.run("w.lr_range = (1e-3, 1e-1)")
    finder.wait_for_text("again")
    finder.button("Range").click()
    expect(finder.button("Clear range")).to_be_visible()
    from_the_cell_to(finder, "Start")
    stops = tab_stops(finder)
    names = [stop["name"] for stop in stops]
    rules = {"auto", *RULES}
    ticks = [name for name in names if name.split(":")[0] in rules]
    assert {name.split(":")[0] for name in ticks} == rules
    first = names.index(ticks[0])
    assert names[first : first + len(ticks)] == ticks
    assert names[:first] + names[first + len(ticks) :] == CONTROLS
    assert [stop["name"] for stop in stops if not stop["outlined"]] == []


def test_everything_from_start_to_export_by_keyboard_alone(lab: Lab) -> None:
    finder = open_finder(lab, allowed=40)
    keyboard = lab.page.keyboard
    from_the_cell_to(finder, "Start")
    keyboard.press("Enter")
    finder.wait_for_rows(40)
    # The focus must not be on Stop: a second Enter would end the run.
    lab.wait_for("Pause has the focus", lambda: (focused(finder) or {}).get("name") == "Pause")
    keyboard.press("Space")
    finder.wait_for_pause()
    lab.allow("steps", STEPS)
    finder.wait_for_state("paused")
    lab.wait_for("Resume has the focus", lambda: (focused(finder) or {}).get("name") == "Resume")
    keyboard.press("Enter")
    finder.wait_for_state("finished")
    lab.wait_for("Start has the focus", lambda: (focused(finder) or {}).get("name") == "Start")

    tab_to(finder, "Chosen learning rate")
    keyboard.press("Home")
    decades = END_LR / START_LR
    for key, lr in {
        "ArrowRight": START_LR * decades**0.01,
        "Shift+ArrowRight": START_LR * decades**0.11,
        "PageUp": START_LR * decades**0.21,
        "ArrowDown": START_LR * decades**0.20,
        "Shift+ArrowLeft": START_LR * decades**0.10,
    }.items():
        keyboard.press(key)
        # Comparing with the page would be wrong: page and kernel may both still have the old rate.
        wanted = pytest.approx(lr)
        lab.wait_for(f"{key} moves it", lambda to=wanted: lab.kernel.value("w.lr") == to)
        finder.wait_for_kernel(wanted)
    slider = finder.slider("Chosen learning rate")
    expect(slider).to_have_attribute("aria-valuetext", "learning rate 4e-5")

    for name, trait in {"Smoothing": "w.smoothing", "Loss limit": "w.y_max"}.items():
        tab_to(finder, name)
        before = lab.kernel.value(trait)
        keyboard.press("ArrowLeft")
        lab.wait_for(name, lambda trait=trait, before=before: lab.kernel.value(trait) != before)
    tab_to(finder, "Raw loss")
    keyboard.press("Space")
    expect(finder.field("Raw loss")).not_to_be_checked()

    tab_to(finder, "Learning rate")
    keyboard.press("Control+a")
    keyboard.type("3e-3")
    keyboard.press("Enter")
    lab.wait_for("the typed rate", lambda: lab.kernel.value("w.lr") == 3e-3)
    tab_to(finder, "Variable")
    keyboard.press("Control+a")
    keyboard.type("rate")
    keyboard.press("Enter")
    finder.wait_for_text("rate = 0.003")
    assert lab.kernel.value("rate") == 3e-3
    # Shift+Tab leaves the widget in the reverse order.
    tab_to(finder, "Start", key="Shift+Tab")
    keyboard.press("Shift+Tab")
    assert focused(finder) is None
