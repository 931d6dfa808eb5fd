"""The actions on a widget: each is a method whose name begins with `do_`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

from tests.browser.harness.finder import Finder
from tests.browser.harness.kernel import KernelError
from tests.browser.harness.lab import Lab
from tests.browser.play.notebook import BUSY_INDEX, HIGH, LOW, WAIT_INDEX

# Presses a button if that is possible at this moment; returns whether it was.
PRESS = """
(root, name) => {
  const button = [...root.querySelectorAll('button')].find((b) => b.textContent === name
    && !b.hidden && !b.disabled);
  button?.click();
  return Boolean(button);
}
"""
PRESS_PART = """
([entry], part) => {
  const button = entry?.querySelector(`.lrw-${part}:not([hidden])`);
  button?.click();
  return Boolean(button);
}
"""
SLIDE = """
(root, [name, value]) => {
  const slider = root.querySelector(`input[type=range][aria-label="${name}"]`);
  slider.value = value;
  slider.dispatchEvent(new Event('input', { bubbles: true }));
}
"""
TWO_FRAMES = """
() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))
"""
CLOSE_SECOND_VIEW = """
() => {
  for (const widget of jupyterapp.shell.widgets('main'))
    if (widget !== labTest.panel() && widget.node.querySelector('.lrwidget')) widget.close();
}
"""


class Actions:
    """The actions, and the state that the checks after them need."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self.lab = lab
        self.dice = random.Random(seed)
        self.allowed = 0
        self.busy: int | None = None  # the index of the cell that keeps the kernel busy
        self.pick: float | None = None  # the user's last pick
        self.views = 1

    # Helpers

    @property
    def finder(self) -> Finder:
        """Return one of the views."""
        return Finder(self.lab, view=self.dice.randrange(self.views))

    def press(self, name: str) -> bool:
        """Press a button if that is possible; return whether it was."""
        return bool(self.finder.root.evaluate(PRESS, name))

    def rate(self) -> float:
        """Return a random rate of the range, with three digits."""
        rate = LOW * (HIGH / LOW) ** self.dice.random()
        return float(f"{rate:.3g}")

    def settle(self) -> None:
        """Wait until page and kernel agree."""
        raise NotImplementedError

    # The run's buttons, and the same calls from a cell

    def do_press_start(self) -> None:
        self.press("Start")

    def do_press_pause(self) -> None:
        self.press("Pause")

    def do_press_resume(self) -> None:
        self.press("Resume")

    def do_press_stop(self) -> None:
        if self.dice.random() < 0.4 and self.press("Stop"):
            self.do_let_steps()

    def do_press_extend(self) -> None:
        if self.dice.random() < 0.3:
            self.press("Extend")

    def do_press_check(self) -> None:
        if self.dice.random() < 0.2:
            self.press("Check")

    def do_press_refine(self) -> None:
        if self.dice.random() < 0.4 and self.press("Refine"):
            self.do_let_a_sweep_end()

    def do_press_more_steps(self) -> None:
        self.press("More steps")

    def do_call(self) -> None:
        if self.busy:
            return
        call = self.dice.choice(["start", "pause", "resume", "stop", "extend", "pause", "resume"])
        # A call that is not possible now raises.
        self.lab.kernel.run(f"with contextlib.suppress(RuntimeError):\n    w.{call}()")

    def do_reset(self) -> None:
        if self.busy or self.dice.random() < 0.7:
            return
        self.settle()  # a pick in transit would arrive after the reset
        with self.steps_let():  # the reset waits for the current step
            self.lab.kernel.run("w.reset()")
        self.pick = None
        self.settle()

    # The list of runs

    def do_add_a_run(self) -> None:
        if not self.busy:
            self.lab.kernel.run("if len(w.runs) < 8 and len(w.records):\n    w.add(w.records)")

    def do_activate_a_run(self) -> None:
        self.with_a_run("activate")

    def do_remove_a_run(self) -> None:
        if self.dice.random() < 0.5:
            self.with_a_run("remove")

    def do_rename_a_run(self) -> None:
        self.with_a_run("rename", repr(f"run of {self.dice.randrange(100)}"))

    def do_press_in_the_legend(self) -> None:
        entries = self.finder.root.locator(".lrw-entry")
        if count := entries.count():
            part = self.dice.choice(["use", "use", "show", "show", "rename", "remove"])
            entry = entries.nth(self.dice.randrange(count))
            # A hidden entry cannot be pressed, and an entry may disappear at any moment.
            pressed = entry.evaluate_all(PRESS_PART, part)
            if pressed and part == "rename":
                self.lab.page.keyboard.type(f"typed {self.dice.randrange(100)}")
                self.lab.page.keyboard.press(self.dice.choice(["Enter", "Escape", "Tab"]))

    def with_a_run(self, call: str, *more: str) -> None:
        """Call a method on a random run, if there are any."""
        if not self.busy:
            given = ", ".join([f"runs[{self.dice.randrange(8)} % len(runs)]", *more])
            self.lab.kernel.run(
                "runs = w.runs\n"
                f"with contextlib.suppress(RuntimeError):\n    runs and w.{call}({given})"
            )

    # Steps

    def do_let_steps(self) -> None:
        self.allowed += self.dice.randint(1, 12)
        self.lab.allow("steps", self.allowed)

    do_let_more_steps = do_let_steps

    def do_let_a_sweep_end(self) -> None:
        self.allowed += 80
        self.lab.allow("steps", self.allowed)

    @contextmanager
    def steps_let(self) -> Iterator[None]:
        """Allow steps within the block, and hold them again after it."""
        self.lab.allow("steps", self.allowed + 1_000_000)
        yield
        self.allowed = self.lab.kernel.value("gate._passed.total()")
        self.lab.allow("steps", self.allowed)
        self.lab.kernel.run("gate._allowed = 0")  # the number that the gate has cached

    def do_spoil_a_batch(self) -> None:
        if self.dice.random() < 0.3:
            (self.lab.folder / "trouble").write_text("exception")

    def do_slow_a_batch(self) -> None:
        (self.lab.folder / "trouble").write_text("slow")

    # Picks

    def do_drag(self) -> None:
        finder = self.finder
        if self.marker_of(finder) is not None:
            finder.drag_marker_to(self.rate())
            self.pick = self.marker_of(finder)

    def do_arrow_key(self) -> None:
        finder = self.finder
        self.marker_of(finder)
        twin = finder.slider("Chosen learning rate")
        twin.press(self.dice.choice(["ArrowLeft", "ArrowRight", "Shift+ArrowLeft", "PageUp"]))
        self.pick = self.marker_of(finder)

    def do_type_a_rate(self) -> None:
        rate = self.rate()
        self.finder.type_lr(repr(rate))
        self.pick = rate

    def do_type_nonsense(self) -> None:
        field = self.finder.field("Learning rate")
        field.fill("fast")
        field.press("Enter")
        field.press("Escape")

    def do_assign_a_rate(self) -> None:
        if self.busy:
            return
        self.settle()  # otherwise it would be unclear which pick is the last one
        self.pick = self.rate()
        self.lab.kernel.run(f"w.lr = {self.pick!r}")
        self.settle()

    def do_take_a_rule(self) -> None:
        finder = self.finder
        self.marker_of(finder)
        rules = finder.root.locator(".lrw-rule:not([aria-disabled])")
        if count := rules.count():
            rules.nth(self.dice.randrange(count)).evaluate("(button) => button.click()")
            self.pick = self.marker_of(finder)

    def do_brush_a_range(self) -> None:
        finder = self.finder
        if finder.root.evaluate(PRESS, "Range"):
            finder.drag(self.rate(), self.rate())
            finder.root.evaluate(PRESS, self.dice.choice(["Clear range", "Pick", "Pick"]))
            finder.root.evaluate(PRESS, "Pick")

    def marker_of(self, finder: Finder) -> float | None:
        """Return the rate of a view's marker, once it is visible and drawn."""
        finder.root.evaluate(PRESS, "Reset zoom")
        self.lab.page.evaluate(TWO_FRAMES)
        return finder.chosen

    # The view

    def do_zoom(self) -> None:
        finder = self.finder
        if self.dice.random() < 0.5 and finder.root.evaluate(PRESS, "Zoom"):
            finder.drag(self.rate(), self.rate())
            finder.root.evaluate(PRESS, "Pick")
        else:
            self.press("Reset zoom")

    def do_slide_smoothing(self) -> None:
        value = round(self.dice.random() * 0.99, 2)
        self.finder.root.evaluate(SLIDE, ["Smoothing", str(value)])

    def do_slide_limit(self) -> None:
        self.finder.root.evaluate(SLIDE, ["Loss limit", str(round(self.dice.random(), 2))])

    def do_toggle(self) -> None:
        box = self.dice.choice(["Raw loss", "Automatic loss limit", "Logarithmic loss axis"])
        self.finder.root.locator(f"input[aria-label='{box}']").evaluate("(box) => box.click()")

    def do_save(self) -> None:
        item = self.dice.choice(["Save as PNG", "Save as SVG", "Save as CSV", "Copy as Markdown"])
        if item.startswith("Copy"):
            self.press(item)
            return
        with self.lab.page.expect_download() as download:
            assert self.press(item), f"{item} cannot be pressed"
        assert download.value.failure() is None

    # Export

    def do_export(self) -> None:
        if not self.press("Export") or self.busy:
            return
        self.settle()
        if self.lab.kernel.value("w.lr") is not None:
            self.lab.wait_for(
                "the exported rate", lambda: self.lab.kernel.value("globals().get('lr') == w.lr")
            )

    # The page

    def do_reload(self) -> None:
        if self.dice.random() < 0.3:
            busy = self.busy
            if not busy:
                self.settle()  # a reload right after a pick may lose it
            self.lab.reload()
            # JupyterLab requests the widgets from the kernel, and a busy kernel does not answer.
            self.do_let_the_kernel_go()
            self.find_views()
            if busy and self.pick is not None:
                # ipywidgets holds changes back in the page until the kernel has answered the first.
                self.pick = self.marker_of(self.finder)

    def do_open_second_view(self) -> None:
        if self.views == 1 and self.dice.random() < 0.5:
            self.lab.open_second_view(1)
            self.find_views(2)

    def do_close_second_view(self) -> None:
        if self.views > 1:
            self.lab.page.evaluate(CLOSE_SECOND_VIEW)
            self.find_views(1)

    def find_views(self, count: int | None = None) -> None:
        """Wait until the views are drawn; by default any number that a reload has restored."""
        roots = self.lab.page.locator(".lrwidget")
        if count is None:
            roots.first.wait_for()
            count = roots.count()
        self.lab.wait_for(f"{count} views", lambda: roots.count() == count)
        self.views = count
        for view in range(count):
            Finder(self.lab, view=view).wait_until_drawn()

    # The kernel

    def do_keep_the_kernel_busy(self) -> None:
        if not self.busy:
            self.lab.run_cell(BUSY_INDEX, wait=False)
            self.lab.wait_for("the kernel is busy", lambda: self.lab.is_busy(BUSY_INDEX))
            self.busy = BUSY_INDEX

    def do_wait_in_a_cell(self) -> None:
        if not self.busy:
            before = self.lab.page.evaluate("(cell) => labTest.prompt(cell)", WAIT_INDEX)
            self.lab.run_cell(WAIT_INDEX, wait=False)
            self.lab.page.wait_for_function(
                "([cell, before]) => labTest.prompt(cell) !== before", arg=[WAIT_INDEX, before]
            )
            self.busy = WAIT_INDEX

    def see_whether_it_waits(self) -> None:
        """Note the end of a cell that waits for a sweep."""
        if self.busy == WAIT_INDEX and not self.lab.is_busy(WAIT_INDEX):
            self.busy = None

    def do_let_the_kernel_go(self) -> None:
        if self.busy == BUSY_INDEX:
            self.lab.allow("busy", 1)
            self.wait_until_free()
        elif self.busy:
            self.do_interrupt()  # the sweep may be paused and wait for the page

    def do_interrupt(self) -> None:
        if not self.busy:
            self.settle()  # an interrupt could lose what the kernel is doing
        self.lab.interrupt_kernel()
        self.wait_until_free()

    def wait_until_free(self) -> None:
        """Wait for the end of the busy cell. A reloaded page does not show it as busy."""
        self.lab.wait_for("the kernel answers", self.kernel_answers)
        if self.busy:
            self.lab.wait_for("the page knows it", lambda: not self.lab.is_busy(self.busy))
        self.lab.allow("busy", 0)
        self.busy = None

    def kernel_answers(self) -> bool:
        """Wait until the kernel answers; return False if an interrupt has cleared its queue."""
        try:
            self.lab.kernel.run("pass")
        except KernelError:
            return False
        return True
