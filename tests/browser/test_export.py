"""Export of the chosen rate into a variable of the notebook."""

from __future__ import annotations

import ast

import pytest
from playwright.sync_api import expect

from tests.browser.harness.cells import BUSY, SETUP, WIDGET, open_finder
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import Lab


@pytest.fixture
def picked(lab: Lab) -> Finder:
    """Return a widget with a chosen rate."""
    finder = open_finder(lab)
    finder.type_lr("0.0125")
    lab.wait_for("the kernel has it", lambda: lab.kernel.value("w.lr") == 0.0125)
    return finder


def test_export_makes_a_variable(lab: Lab, picked: Finder) -> None:
    picked.field("Variable").fill("best_rate")
    picked.button("Export").click()
    lab.wait_for("the variable", lambda: lab.kernel.value("globals().get('best_rate')"))
    assert lab.kernel.value("[best_rate, type(best_rate).__name__]") == [0.0125, "float"]
    picked.wait_for_text("best_rate = 0.0125")


def test_what_is_said_of_a_cell_that_is_queued_holds(lab: Lab) -> None:
    lab.open(SETUP, WIDGET, BUSY, "print(lr)")
    for index in (0, 1):
        lab.run_cell(index)
    finder = Finder(lab)
    finder.type_lr("0.0125")
    lab.wait_for("the kernel has it", lambda: lab.kernel.value("w.lr") == 0.0125)
    lab.kernel.run("lr = 0.5")
    for index in (2, 3):
        lab.run_cell(index, wait=False)
    lab.wait_for("the cell is queued", lambda: lab.is_busy(3))
    finder.button("Export").click()
    # Where the kernel has subshells, Export does not wait for the running cell.
    finder.wait_for_text("lr = 0.0125. A cell that is already queued may still have the old value.")
    finder.wait_for_text("A queued cell may read the old one.")
    lab.allow("busy", 1)
    lab.wait_for_cell(3)
    assert lab.text(3).strip() == "0.0125"


def test_enter_in_the_name_exports_too(lab: Lab, picked: Finder) -> None:
    picked.field("Variable").fill("by_key")
    picked.field("Variable").press("Enter")
    lab.wait_for("the variable", lambda: lab.kernel.value("globals().get('by_key')") == 0.0125)


def test_a_bad_name_says_so_and_makes_nothing(lab: Lab, picked: Finder) -> None:
    names = lab.kernel.value("sorted(globals())")
    for name, complaint in {
        "2fast": "'2fast' is not a variable name",
        "class": "class is a keyword",
        "a b": "'a b' is not a variable name",
        "made = 1": "'made = 1' is not a variable name",
        "": "'' is not a variable name",
    }.items():
        picked.field("Variable").fill(name)
        picked.button("Export").click()
        picked.wait_for_text(complaint)
    assert lab.kernel.value("sorted(globals())") == names


def test_copy_puts_the_rate_on_the_clipboard(lab: Lab, picked: Finder) -> None:
    picked.field("Variable").fill("rate")
    picked.button("Copy").click()
    text = lab.wait_for(
        "the clipboard has it", lambda: lab.page.evaluate("navigator.clipboard.readText()")
    )
    name, value = text.split("=")
    assert name.strip() == "rate"
    assert ast.literal_eval(value.strip()) == 0.0125


@pytest.mark.parametrize("button", ["Export", "Copy"])
def test_what_is_no_rate_is_not_exported(lab: Lab, picked: Finder, button: str) -> None:
    picked.field("Variable").fill("rate")
    picked.button(button).click()
    picked.wait_for_text("rate = 0.0125")
    picked.field("Learning rate").fill("abc")
    picked.button(button).click()
    picked.wait_for_text("“abc” is not a rate")
    expect(picked.field("Learning rate")).to_be_focused()
    expect(picked.root).not_to_contain_text("rate = 0.0125")
    picked.field("Learning rate").fill("0.25")
    picked.button(button).click()
    picked.wait_for_text("rate = 0.25")
