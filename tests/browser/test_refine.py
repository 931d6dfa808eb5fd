"""Refine in a real page: trials live, the choice and its reason, the buttons, and what is kept."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.harness.cells import (
    END_LR,
    START_LR,
    STEPS,
    WIDGET,
    open_finder,
    open_second_view,
    start,
)
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import TIMEOUT, Lab, Shell
from tests.browser.screenshots import set_width
from tests.browser.test_accessibility import focused
from tests.browser.test_width import NARROWEST, OUT_OF_REACH, STICKS_OUT

EVALUATION = 5  # batches that are held out: each passes the gate as a step does
TRIAL = 100
# Three trials and half as many steps more, with the evaluations and the one before the first step.
HALFWAY = STEPS + EVALUATION + 3 * (TRIAL + EVALUATION) + TRIAL // 2
ALL = 100_000
REFINEMENT = "w._run_list.refinement"


def swept(lab: Lab, shell: Shell = "notebook") -> Finder:
    """A finder at the end of its sweep."""
    # With this seed the middle one of the three first trials is the best by far.
    widget = WIDGET.replace("seed=0", "seed=3")
    finder = open_finder(lab, allowed=STEPS, shell=shell, widget=widget)
    start(finder)
    finder.wait_for_state("finished")
    return finder


def panel(finder: Finder) -> Locator:
    """The panel of the refinement."""
    return finder.root.get_by_role("group", name="Refinement", exact=True)


def refine(finder: Finder, allowed: int) -> None:
    """Press Refine and let so many steps pass, those of the sweep included."""
    finder.lab.allow("steps", allowed)
    finder.button("Refine").click()


def wait_for_words(finder: Finder, words: str) -> None:
    """Wait until the panel says how the refinement stands."""
    said = panel(finder).locator("[aria-live=polite]")
    expect(said).to_contain_text(re.compile(words), timeout=TIMEOUT * 1000)


def rows(finder: Finder) -> list[str]:
    """The rows of the table of trials, as text."""
    return panel(finder).locator("tbody tr").all_inner_texts()


def marks(finder: Finder) -> int:
    """The number of tried rates that the chart marks on its axis."""
    return finder.root.locator(".lrw-chart .lrw-tried > *").count()


def curves(finder: Finder) -> list[str]:
    """The paths of the losses that are drawn."""
    paths = panel(finder).locator("[role=img] path:is(.lrw-trial, .lrw-training)").all()
    return [path for line in paths if (path := line.get_attribute("d"))]


def held(finder: Finder) -> int:
    """The rows of the kernel's newest refinement."""
    count: int = finder.lab.kernel.value(f"len({REFINEMENT}.records)")
    return count


def pause(finder: Finder) -> None:
    """Press Pause, and let one step pass when the kernel knows of it."""
    finder.button("Pause").click()
    arrived = f"not {REFINEMENT}._runner._go.is_set()"
    finder.lab.wait_for("Pause has arrived", lambda: finder.lab.kernel.value(arrived))
    finder.lab.allow("steps", HALFWAY + 1)


def wait_for_halfway(finder: Finder) -> None:
    """Wait until three trials are shown and the best of them, which goes on, is in its middle."""
    finder.lab.wait_for("three trials", lambda: len(rows(finder)) == 3 and marks(finder) == 3)
    finder.lab.wait_for("150 steps", lambda: "running, step 150" in " ".join(rows(finder)))


def test_trials_are_drawn_as_they_run_and_the_marker_goes_to_the_refined_rate(lab: Lab) -> None:
    finder = swept(lab)
    suggested = finder.wait_for_kernel()
    refine(finder, HALFWAY)
    wait_for_halfway(finder)
    wait_for_words(finder, "^Trying .*Best so far: ")
    assert held(finder) == 3 * TRIAL + TRIAL // 2
    bar = panel(finder).get_by_role("progressbar", name="Steps of the budget")
    expect(bar).to_have_attribute("aria-valuetext", "450 of 1,500 steps")
    expect(panel(finder)).to_contain_text("450 of at most 1,500 steps · at most ")
    expect(panel(finder)).to_contain_text("Held out of the trials: 160 of 512 samples")
    assert finder.button("Start").is_disabled()
    assert finder.chosen == suggested

    finder.button("More steps").click()
    expect(bar).to_have_attribute("aria-valuemax", "2000")
    pause(finder)
    wait_for_words(finder, "^Refinement paused")
    assert "paused at step 151" in " ".join(rows(finder))
    lab.allow("steps", ALL)
    finder.button("Resume").click()
    wait_for_words(finder, "^Refined rate .* confidence: .* trials of up to 300 steps")
    refined = lab.kernel.value("w.refinement.lr")
    assert finder.wait_for_kernel() == finder.chosen == refined != suggested
    expect(finder.root.locator(".lrw-chart")).to_contain_text(", refined")
    trials = lab.kernel.value("w.refinement.summary.values.tolist()")
    assert len(rows(finder)) == marks(finder) == len(trials)
    assert "best, 300 steps" in " ".join(rows(finder))
    assert panel(finder).get_by_role("progressbar").count() == 0
    assert lab.kernel.value("model_is_as_before()")
    lab.wait_for("its threads have ended", lambda: lab.kernel.value("threads()") == [])
    finder.button("Export").click()
    lab.wait_for("the variable", lambda: lab.kernel.value("globals().get('lr')") == refined)


def test_stop_keeps_what_there_is_and_a_pick_stays(lab: Lab) -> None:
    finder = swept(lab)
    refine(finder, HALFWAY)
    wait_for_halfway(finder)
    finder.type_lr("0.02")
    finder.wait_for_kernel(0.02)
    finder.button("Stop").click()
    lab.wait_for("Stop arrives", lambda: lab.kernel.value(f"{REFINEMENT}._runner._stop.is_set()"))
    lab.allow("steps", ALL)
    wait_for_words(finder, "^Refined rate .* confidence: stopped after three trials")
    assert "stopped at step 15" in " ".join(rows(finder))
    assert finder.wait_for_kernel() == 0.02
    panel(finder).get_by_role("button", name=re.compile("^Use ")).click()
    refined = lab.kernel.value("w.refinement.lr")
    lab.wait_for("the kernel has it", lambda: lab.kernel.value("w.lr") == refined)
    assert panel(finder).get_by_role("button").count() == 0
    assert lab.kernel.value("model_is_as_before()")


def test_a_reload_and_a_second_view_show_everything(lab: Lab) -> None:
    finder = swept(lab, shell="lab")
    refine(finder, HALFWAY)
    wait_for_halfway(finder)
    before = curves(finder)
    lab.reload()
    finder.wait_until_drawn()
    wait_for_halfway(finder)
    lab.wait_for("the same curves", lambda: curves(finder) == before)
    second = open_second_view(lab)
    wait_for_halfway(second)
    pause(second)
    for view in (finder, second):
        wait_for_words(view, "^Refinement paused")
    finder.button("Resume").click()
    lab.allow("steps", ALL)
    for view in (finder, second):
        wait_for_words(view, "^Refined rate ")
    assert rows(finder) == rows(second)
    assert finder.chosen == second.chosen == lab.kernel.value("w.refinement.lr")


def test_saved_it_is_shown_without_a_kernel(lab: Lab) -> None:
    finder = swept(lab, shell="lab")
    lab.save_widget_state()
    refine(finder, ALL)
    wait_for_words(finder, "^Refined rate ")
    said = panel(finder).locator("[aria-live=polite]").inner_text()
    table, drawn, chosen = rows(finder), curves(finder), finder.chosen
    lab.close_notebook(shut_down_kernel=True)
    lab.reopen_notebook()
    finder.wait_for_rows(STEPS)
    wait_for_words(finder, re.escape(said))
    assert (rows(finder), finder.chosen) == (table, chosen)
    lab.wait_for("the same curves", lambda: curves(finder) == drawn)
    expect(finder.button("Refine")).to_be_disabled()
    assert panel(finder).get_by_role("button").count() == 0


def test_where_the_kernel_ends_what_there_was_stays(lab: Lab) -> None:
    finder = swept(lab)
    refine(finder, HALFWAY)
    wait_for_halfway(finder)
    lab.shut_down_kernel()
    wait_for_words(finder, "^Refinement cut off in mid-run. Best so far: ")
    assert len(rows(finder)) == marks(finder) == 3
    assert "stopped at step 150" in " ".join(rows(finder))
    assert panel(finder).get_by_role("button").count() == 0
    expect(panel(finder).get_by_role("progressbar")).to_be_hidden()
    expect(finder.button("Refine")).to_be_disabled()


def test_an_exception_is_shown_where_the_refinement_is(lab: Lab) -> None:
    finder = swept(lab)
    chosen = finder.wait_for_kernel()
    lab.kernel.run("inputs.resize_(512, 7)")
    refine(finder, ALL)
    wait_for_words(finder, "^Refinement failed; the model is restored")
    assert "RuntimeError" in panel(finder).get_by_role("group", name="Error").inner_text()
    assert finder.wait_for_kernel() == chosen


def test_where_the_sweep_says_little_refine_is_the_next_step(lab: Lab) -> None:
    finder = open_finder(lab, allowed=12)
    expect(finder.button("Refine")).to_be_disabled()
    start(finder)
    finder.wait_for_rows(12)
    finder.button("Stop").click()
    lab.wait_for("Stop", lambda: lab.kernel.value("w._run_list.active._runner._stop.is_set()"))
    lab.allow("steps", 13)
    finder.wait_for_state(r"Refine looks for a rate in short trials: at most 1,487 steps, about \d")
    expect(finder.button("Refine")).to_have_class(re.compile("lrw-primary"))
    refine(finder, ALL)
    wait_for_words(finder, "^Refined rate ")
    finder.wait_for_kernel(lab.kernel.value("w.refinement.lr"))
    expect(finder.root).not_to_contain_text("Refine looks for")
    # Not so for a run of other records: Check compares rates, and the panel offers nothing.
    lab.kernel.run("w.activate(w.add(w.records))")
    expect(finder.button("Check")).to_be_visible()
    expect(finder.button("Refine")).to_be_hidden()
    assert marks(finder) == 0


def test_by_keyboard_alone_and_in_a_narrow_cell(lab: Lab) -> None:
    finder = swept(lab)
    lab.allow("steps", HALFWAY)
    finder.button("Refine").focus()
    keyboard = lab.page.keyboard
    keyboard.press("Enter")
    wait_for_halfway(finder)

    def has_focus(name: str) -> None:
        lab.wait_for(f"{name} has it", lambda: (focused(finder) or {}).get("name") == name)

    has_focus("Pause")  # not Stop: a second Enter would end it
    keyboard.press("Enter")
    arrived = f"not {REFINEMENT}._runner._go.is_set()"
    lab.wait_for("Pause has arrived", lambda: lab.kernel.value(arrived))
    lab.allow("steps", HALFWAY + 1)
    has_focus("Resume")
    set_width(finder, NARROWEST)
    assert finder.root.evaluate(STICKS_OUT) == []
    assert finder.root.evaluate(OUT_OF_REACH) == []
    keyboard.press("Enter")
    has_focus("Pause")
    lab.allow("steps", ALL)
    wait_for_words(finder, "^Refined rate ")
    said = panel(finder).locator("[aria-live=polite]")
    expect(said).to_be_focused()
    for width in (NARROWEST, 320):
        set_width(finder, width)
        # bqplot takes on a new size only a moment after the element has it.
        lab.wait_for("all of it fits", lambda: finder.root.evaluate(STICKS_OUT) == [])


def test_what_it_tried_can_be_chosen_and_beside_another_run_it_names_its_own(lab: Lab) -> None:
    widget = WIDGET.replace(f"{START_LR}", "1e-3").replace(f"{END_LR}", "2e-2")
    finder = open_finder(lab, allowed=ALL, widget=widget)
    start(finder)
    finder.wait_for_state("finished")
    finder.button("Refine").click()
    wait_for_words(finder, "^Refined rate ")
    tried = lab.kernel.value("float(w.refinement.frame.lr.max())")
    assert tried > 2e-2
    complaint = finder.root.get_by_role("alert").filter(
        has_text=re.compile(r"^5 lies outside of \S+ to (\S+)\. The rate is \1\.$")
    )
    finder.type_lr("5")
    expect(complaint).to_have_count(1)
    finder.type_lr(f"{0.9 * tried:.2g}")
    finder.wait_for_kernel()
    assert 2e-2 < lab.kernel.value("w.lr") < tried
    expect(complaint).to_have_count(0)
    expect(finder.field("Learning rate")).to_have_attribute("aria-invalid", "false")
    lab.kernel.run("w.start(label='other', seed=3)\nw.wait()")
    wait_for_words(finder, "^run 1: Refined rate ")
    lab.kernel.run("w.activate('run 1')")
    wait_for_words(finder, "^Refined rate ")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_colours_of_neighbours_differ_and_are_readable(lab: Lab, theme: str) -> None:
    finder = swept(lab)
    lab.theme("light" if theme == "light" else "dark")
    refine(finder, ALL)
    wait_for_words(finder, "^Refined rate ")
    found = panel(finder).evaluate(CONTRASTS)
    lab.theme("light")
    assert len(found) == len({colour for colour, _ in found}) >= 3
    assert min(contrast for _, contrast in found) >= 4.5


# The colour of each label, and its contrast to the widget's surface, both as they are painted.
# Found and looked at in one go: a panel that is drawn again has other labels.
CONTRASTS = """
(panel) => {
  const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const luminance = (colour) => {
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    const parts = [...context.getImageData(0, 0, 1, 1).data].slice(0, 3).map((part) => {
      const value = part / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  return [...panel.querySelectorAll('text.lrw-trial-label')].map((label) => {
    const colour = getComputedStyle(label).fill;
    const surface = getComputedStyle(label.closest('.lrwidget')).backgroundColor;
    const [dark, light] = [luminance(colour), luminance(surface)].sort((a, b) => a - b);
    return [colour, (light + 0.05) / (dark + 0.05)];
  });
}
"""
