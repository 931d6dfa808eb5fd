"""Choosing a rate with the mouse, the keyboard and the number field."""

from __future__ import annotations

import math

import pytest
from playwright.sync_api import expect

from lrwidget.text.numbers import rate_in_words
from tests.browser.harness.cells import (
    BUSY,
    BUSY_INDEX,
    END_LR,
    START_LR,
    STEPS,
    open_finder,
    open_second_view,
    start,
)
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import Lab

PICK = 0.02
# Waits for a sweep and prints the suggestion.
WAITING = f"""
w.start()
w.wait()
print(w.suggestion)
{BUSY}
"""


def wait_for_lr(lab: Lab, lr: float) -> None:
    """Wait until the kernel has this rate."""
    lab.wait_for(f"w.lr is {lr}", lambda: lab.kernel.value("w.lr") == lr)


def test_the_marker_goes_to_the_suggestion(lab: Lab, finished: Finder) -> None:
    suggestion = lab.kernel.value("w.suggestion")
    assert START_LR < suggestion < END_LR
    assert lab.kernel.value("w.lr") == suggestion
    assert finished.chosen == suggestion
    assert rate_in_words(suggestion) in str(
        finished.slider("Chosen learning rate").get_attribute("aria-valuetext")
    )


def test_the_marker_is_dragged_with_the_mouse(lab: Lab, finished: Finder) -> None:
    pixels = finished.drag_marker_to(PICK)
    lr = finished.wait_for_kernel()
    decades = math.log10(END_LR / START_LR)
    assert abs(math.log10(lr / PICK)) < 2 * decades / pixels  # at most two pixels off


def test_the_marker_stays_in_the_range(lab: Lab, finished: Finder) -> None:
    for beyond, end in ((END_LR * 1e3, END_LR), (START_LR / 1e3, START_LR)):
        finished.drag_marker_to(beyond)
        wait_for_lr(lab, end)
        assert finished.chosen == end


def test_a_rate_can_be_typed(lab: Lab, finished: Finder) -> None:
    finished.type_lr("3e-4")
    wait_for_lr(lab, 3e-4)
    assert finished.chosen == 3e-4
    finished.type_lr("1e5")
    wait_for_lr(lab, END_LR)


def test_typing_replaces_a_selected_rate_though_another_one_has_come(
    lab: Lab, finished: Finder
) -> None:
    field = finished.field("Learning rate")
    field.select_text()
    lab.kernel.run("w.lr = 3e-4")
    expect(field).to_have_value("3e-4")
    lab.page.keyboard.type("0.2")
    expect(field).to_have_value("0.2")
    lab.page.keyboard.press("Enter")
    wait_for_lr(lab, 0.2)


def test_undo_in_a_field_undoes_what_was_typed_there_and_no_edit_of_a_cell(
    lab: Lab, finished: Finder
) -> None:
    source = "labTest.cell(1).model.sharedModel.source"
    keyboard = lab.page.keyboard
    lab.page.locator(".jp-Cell").nth(1).locator(".cm-content").click()
    keyboard.type("# mine")
    edited = lab.page.evaluate(source)
    assert "# mine" in edited
    field = finished.field("Learning rate")
    field.click()
    before = field.input_value()
    keyboard.type("7")
    typed = field.input_value()
    for keys, then in (["z"], before), (["Shift", "z"], typed):
        for key in ["Control", *keys]:
            keyboard.down(key)
            lab.page.wait_for_timeout(100)  # JupyterLab would take keys at once for one
        for key in ["Control", *keys]:
            keyboard.up(key)
        expect(field).to_have_value(then)
    assert lab.page.evaluate(source) == edited


def test_what_is_no_rate_changes_nothing(lab: Lab, finished: Finder) -> None:
    before = lab.kernel.value("w.lr")
    for text in ("fast", "-1", "0", ""):
        finished.type_lr(text)
    field = finished.field("Learning rate")
    expect(field).to_have_attribute("aria-invalid", "true")
    field.press("Escape")
    expect(field).to_have_attribute("aria-invalid", "false")
    # What was typed and dropped is not taken when the field loses the focus.
    field.fill("0.09")
    field.press("Escape")
    assert float(field.input_value()) == pytest.approx(before, rel=0.01)
    finished.slider("Smoothing").focus()
    finished.button("Export").click()
    lab.wait_for("the variable", lambda: lab.kernel.value("globals().get('lr')") == before)
    finished.type_lr("0.5")
    wait_for_lr(lab, 0.5)
    assert before != 0.5


def test_the_keyboard_moves_the_marker(lab: Lab, finished: Finder) -> None:
    slider = finished.slider("Chosen learning rate")
    slider.press("Home")
    wait_for_lr(lab, START_LR)
    slider.press("End")
    wait_for_lr(lab, END_LR)
    slider.press("ArrowLeft")
    one_step = END_LR * (START_LR / END_LR) ** 0.01
    lab.wait_for("the marker moves", lambda: finished.chosen == pytest.approx(one_step))
    finished.wait_for_kernel(pytest.approx(one_step))


def test_the_users_pick_outlives_the_end_of_the_sweep(lab: Lab) -> None:
    finder = open_finder(lab, allowed=30)
    start(finder)
    finder.wait_for_rows(30)
    finder.type_lr("1e-3")
    finder.wait_for_kernel(1e-3)
    finder.drag_marker_to(PICK)
    picked = finder.wait_for_kernel()
    lab.allow("steps", STEPS)
    finder.wait_for_state("finished")
    assert lab.kernel.value("w.suggestion") not in {None, picked}
    assert lab.kernel.value("w.lr") == picked
    assert finder.chosen == picked


def test_the_users_pick_stays_where_it_is_while_a_cell_waits(lab: Lab) -> None:
    finder = open_finder(lab, allowed=30)
    lab.page.evaluate(
        "([index, code]) => { labTest.cell(index).model.sharedModel.setSource(code) }",
        [BUSY_INDEX, WAITING],
    )
    lab.run_cell(BUSY_INDEX, wait=False)
    finder.wait_for_rows(30)
    finder.type_lr(str(PICK))
    lab.wait_for("the marker is there", lambda: finder.chosen == PICK)
    lab.allow("steps", STEPS)
    # Printed after the traits of the finished sweep were sent, so the page has received them.
    suggestion = lab.wait_for("the cell has waited", lambda: lab.text(BUSY_INDEX))
    assert float(suggestion) != PICK
    finder.wait_for_state("finished")
    assert lab.is_busy(BUSY_INDEX)
    assert finder.chosen == PICK
    lab.allow("busy", 1)
    lab.wait_for_cell(BUSY_INDEX)
    finder.wait_for_kernel(PICK)


def test_a_drag_ends_with_the_view_that_it_was_made_in(lab: Lab) -> None:
    finder = open_finder(lab, allowed=STEPS, shell="lab")
    second = open_second_view(lab)
    start(second)
    second.wait_for_state("finished")
    second.point_at(PICK)
    lab.page.mouse.down()
    lab.page.mouse.move(second.pixel_of(PICK * 10), second.plot["y"] + 50, steps=8)
    dragged_to = finder.wait_for_kernel()
    assert dragged_to == pytest.approx(PICK * 10, rel=0.2)

    lab.kernel.run("w.lr, w.smoothing = 0.05, 0.0")
    smoothing = finder.slider("Smoothing")
    lab.wait_for("the page has both", lambda: smoothing.input_value() == "0")
    assert finder.chosen == dragged_to  # the kernel does not move a dragged marker

    lab.close_second_view()
    lab.wait_for("the view is gone", lambda: second.root.count() == 0)
    lab.kernel.run("w.lr = 0.06")
    lab.wait_for("the page has the rate", lambda: finder.chosen == 0.06)


def test_a_marker_whose_view_goes_in_mid_drag_stays_at_the_rate_that_was_taken(lab: Lab) -> None:
    finder = open_finder(lab, allowed=STEPS, shell="lab")
    second = open_second_view(lab)
    start(second)
    second.wait_for_state("finished")
    beyond = second.pixel_of(1.0)
    second.hold_marker_at(PICK)
    taken = finder.wait_for_kernel()
    lab.close_second_view()  # as Solara does when what is shown beside the widget changes
    lab.wait_for("the view is gone", lambda: second.root.count() == 0)
    lab.page.mouse.move(beyond, 400, steps=8)
    lab.page.mouse.up()
    finder.wait_until_drawn()
    assert finder.chosen == lab.kernel.value("w.lr") == taken


def test_python_moves_the_marker(lab: Lab, finished: Finder) -> None:
    lab.kernel.run("w.lr = 0.05")
    lab.wait_for("the page has the rate", lambda: finished.chosen == 0.05)


@pytest.mark.parametrize("mode", ["Pick", "Range"])
def test_a_second_finger_moves_nothing_that_the_first_one_drags(
    lab: Lab, finished: Finder, mode: str
) -> None:
    cdp = lab.page.context.new_cdp_session(lab.page)
    finished.button(mode).click()
    # In the middle of the window, where no part of the notebook covers it.
    finished.root.locator(".lrw-chart").evaluate("(e) => e.scrollIntoView({ block: 'center' })")
    y = finished.plot["y"] + 100
    start, end, other = (finished.pixel_of(lr) for lr in (1e-4, 1e-3, 1.0))

    def touch(kind: str, *xs: float) -> None:
        points = [{"x": x, "y": y, "id": i} for i, x in enumerate(xs)]
        cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", start)
    for part in (0.25, 0.5, 1.0):
        touch("touchMove", start + (end - start) * part)
    touch("touchStart", end, other)
    for by in (6, 12, 30):
        touch("touchMove", end, other + by)
    touch("touchEnd", end)
    touch("touchEnd")
    chosen = "w.lr" if mode == "Pick" else "(w.lr_range or (0, 0))[1]"
    near = pytest.approx(1e-3, rel=0.05)
    lab.wait_for("the rate", lambda: lab.kernel.value(chosen) == near)
    finished.lab.page.wait_for_timeout(500)
    assert lab.kernel.value(chosen) == near


@pytest.mark.own_page
def test_two_fingers_zoom_the_page_and_choose_no_rate(lab: Lab, finished: Finder) -> None:
    cdp = lab.page.context.new_cdp_session(lab.page)
    finished.root.locator(".lrw-chart").evaluate("(e) => e.scrollIntoView({ block: 'center' })")
    before = finished.chosen
    y = finished.plot["y"] + 100
    left, right = (finished.pixel_of(lr) for lr in (1e-3, 1e-2))
    for kind, apart in (("touchStart", 0), *(("touchMove", 6 * i) for i in range(1, 8))):
        fingers = [{"x": left - apart, "y": y, "id": 0}, {"x": right + apart, "y": y, "id": 1}]
        cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    cdp.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    lab.wait_for("the zoom", lambda: lab.page.evaluate("visualViewport.scale > 1"))
    assert finished.chosen == before
    assert lab.kernel.value("w.lr") == before
