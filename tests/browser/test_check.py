"""The check in a page: curves and their rates, taking the best rate, Stop, and reloads."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.harness.cells import WIDGET, open_finder
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import TIMEOUT, Lab

RATE = 0.03
LRS = ["1e-2", "3e-2", "9e-2"]
STEPS = 300  # of a whole check
# The page offers Check where the active run cannot be refined: here one that was added.
ADDED = "from lrwidget import LRRecords\nw.activate(w.add(LRRecords()))"
CHOSEN = WIDGET.replace("\nw\n", f"\n{ADDED}\nw.lr = {RATE}\nw\n")


@pytest.fixture
def chosen(lab: Lab) -> Finder:
    """Return a widget with a chosen rate and no sweep."""
    return open_finder(lab, widget=CHOSEN)


def panel(finder: Finder) -> Locator:
    """Return the panel of the check."""
    return finder.root.get_by_role("group", name="Check", exact=True)


def check(finder: Finder, allowed: int) -> None:
    """Press Check and allow this number of steps."""
    finder.lab.allow("steps", allowed)
    finder.button("Check").click()


def wait_for_words(finder: Finder, words: str) -> None:
    """Wait until the panel shows this text."""
    said = panel(finder).locator("[aria-live=polite]")
    expect(said).to_contain_text(re.compile(words), timeout=TIMEOUT * 1000)


def curves(finder: Finder) -> list[str]:
    """Return the paths of the drawn curves."""
    return [
        path
        for line in panel(finder).locator("[role=img] path.lrw-trial").all()
        if (path := line.get_attribute("d"))
    ]


def labels(finder: Finder) -> list[str]:
    """Return the rates written at the ends of the curves."""
    return panel(finder).locator("[role=img] text.lrw-trial-label").all_text_contents()


def points_held(finder: Finder) -> list[list[float]]:
    """Return the rows of the kernel's newest check."""
    rows: list[list[float]] = finder.lab.kernel.value("w._run_list.check.records.rows().tolist()")
    return rows


def test_curves_grow_with_their_rates_and_the_best_is_taken_by_its_button(
    lab: Lab, chosen: Finder
) -> None:
    check(chosen, allowed=130)
    wait_for_words(chosen, "Checking 3e-2, 2 of 3")
    lab.wait_for("two curves are drawn", lambda: labels(chosen) == LRS[:2])
    assert chosen.button("Stop").is_visible()
    assert chosen.button("Start").is_disabled()

    lab.allow("steps", STEPS)
    wait_for_words(chosen, "ended lowest")
    lab.wait_for("three curves are drawn", lambda: labels(chosen) == LRS)
    assert len(set(curves(chosen))) == 3
    dashes = panel(chosen).locator("[role=img] path.lrw-trial")
    assert len({line.get_attribute("stroke-dasharray") for line in dashes.all()}) == 3
    picture = panel(chosen).get_by_role("img")
    for rate in LRS:
        assert f"{rate}: " in str(picture.get_attribute("aria-label"))
        assert panel(chosen).get_by_role("rowheader", name=rate).is_visible()
    assert len(points_held(chosen)) == STEPS

    assert lab.kernel.value("w.lr") == RATE  # the best rate is offered and not yet chosen
    best = lab.kernel.value("w._run_list.check.results.best")
    assert best > RATE  # after so few steps the best rate is higher than the chosen one
    chosen.button("Use 9e-2").click()
    lab.wait_for("the kernel has the rate", lambda: lab.kernel.value("w.lr") == best)
    assert chosen.chosen == best
    assert chosen.button("Use 9e-2").count() == 0
    wait_for_words(chosen, "the chosen rate")
    assert lab.kernel.value("model_is_as_before()")
    lab.wait_for("the check's threads have ended", lambda: lab.kernel.value("threads()") == [])


def test_stop_keeps_the_curves_and_offers_nothing(lab: Lab, chosen: Finder) -> None:
    check(chosen, allowed=150)
    lab.wait_for("two curves are drawn", lambda: labels(chosen) == LRS[:2])
    lab.wait_for("150 steps are done", lambda: len(points_held(chosen)) == 150)
    chosen.button("Stop").click()
    lab.wait_for(
        "Stop has arrived", lambda: lab.kernel.value("w._run_list.check._runner._stop.is_set()")
    )
    lab.allow("steps", STEPS)
    wait_for_words(chosen, "Check stopped: 1 of 3 rates")
    assert labels(chosen) == LRS[:2]
    assert panel(chosen).get_by_role("button").count() == 0
    assert lab.kernel.value("model_is_as_before()")
    assert 150 <= len(points_held(chosen)) < STEPS
    expect(chosen.button("Check")).to_be_enabled(timeout=TIMEOUT * 1000)


def test_a_check_that_its_kernels_end_cuts_off_has_stopped(lab: Lab, chosen: Finder) -> None:
    check(chosen, allowed=150)
    lab.wait_for("two curves are drawn", lambda: labels(chosen) == LRS[:2])
    expect(chosen.button("Stop")).to_be_visible()
    lab.shut_down_kernel()
    wait_for_words(chosen, "Check stopped: 1 of 3 rates")
    expect(panel(chosen)).not_to_contain_text(re.compile("running|waiting"))
    expect(panel(chosen)).to_contain_text("not tried")
    expect(chosen.button("Stop")).to_be_hidden()
    expect(chosen.button("Check")).to_be_disabled()


def test_a_reload_in_the_middle_and_one_at_the_end_show_everything(
    lab: Lab, chosen: Finder
) -> None:
    check(chosen, allowed=150)
    lab.wait_for("two curves are drawn", lambda: labels(chosen) == LRS[:2])
    lab.reload()
    chosen.wait_until_drawn()
    lab.wait_for("two curves are drawn again", lambda: labels(chosen) == LRS[:2])
    lab.allow("steps", STEPS)
    wait_for_words(chosen, "ended lowest")
    drawn = curves(chosen)
    lab.reload()
    chosen.wait_until_drawn()
    wait_for_words(chosen, "ended lowest")
    lab.wait_for("the same curves are drawn", lambda: curves(chosen) == drawn)
    assert chosen.button("Use 9e-2").is_visible()


def test_an_exception_is_shown_where_the_check_is(lab: Lab, chosen: Finder) -> None:
    lab.kernel.run("inputs.resize_(512, 7)")
    check(chosen, allowed=STEPS)
    wait_for_words(chosen, "Check failed; the model is restored")
    assert "RuntimeError" in panel(chosen).get_by_role("group", name="Error").inner_text()
