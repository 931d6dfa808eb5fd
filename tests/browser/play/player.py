"""Chooses actions from a seed, and checks the state after them."""

from __future__ import annotations

import math
from typing import Any

from tests.browser.harness.finder import FIND_MARK, Finder
from tests.browser.harness.lab import Lab
from tests.browser.play.actions import TWO_FRAMES, Actions
from tests.browser.play.notebook import BUSY, SETUP, WAIT, widget

ENDED = {"finished", "diverged", "stopped", "failed"}
EDGES = {
    "idle": {"running", "paused"} | ENDED,
    "running": {"paused"} | ENDED,
    "paused": {"running"} | ENDED,
}

# The part of a view's state in which kernel and page must agree.
SHOWN = f"""
async (root, id) => {{
  await ({TWO_FRAMES})();
  const find = {FIND_MARK};
  const widget = await (await labTest.manager()).get_model(id);
  const raw = (await find(root, [id, 'raw loss'])).mark;
  const marker = (await find(root, [id, 'marker'])).mark;
  const [x, y] = [raw.get('x'), raw.get('y')].map((column) => Array.from(column));
  return {{
    rows: x.map((lr, i) => [lr, y[i]]).filter((row) => Number.isFinite(row[1])),
    lr: widget.get('lr'),
    lr_range: widget.get('lr_range'),
    marker: Array.from(marker.get('x'))[0] ?? null,
    span: ['min', 'max'].map((end) => raw.get('scales').x.get(end)),
    state: root.querySelector('[role=progressbar]').dataset.state,
    labels: Array.from(root.querySelectorAll('.lrw-run-label'), (label) => label.textContent),
    hidden: Array.from(root.querySelectorAll('.lrw-entry'), (entry) =>
      entry.querySelector('.lrw-show').getAttribute('aria-pressed') === 'false'),
    log: root.querySelector('input[aria-label="Logarithmic loss axis"]').checked,
    smoothing: Number(root.querySelector('input[aria-label="Smoothing"]').value),
  }};
}}
"""


class Player(Actions):
    """A game: `play` some actions; it ends with `finish`."""

    def __init__(self, lab: Lab, seed: int) -> None:
        super().__init__(lab, seed)
        self.seed = seed
        self.log: list[str] = []
        self.names = sorted(name for name in dir(self) if name.startswith("do_"))
        # JupyterLab removes cells from the page that are not visible, with their widgets.
        lab.page.set_viewport_size({"width": 1200, "height": 2400})
        lab.open(SETUP, widget(self.dice.choice([1, 1, 2])), BUSY, WAIT, shell="lab")
        lab.allow("busy", 0)
        lab.run_cell(0)
        lab.run_cell(1)
        self.find_views(1)

    def play(self, actions: int) -> None:
        """Play; raise AssertionError with the seed and the last actions if a check fails."""
        try:
            for number in range(actions):
                name = self.dice.choice(self.names)
                self.log.append(f"{number}: {name.removeprefix('do_')}")
                getattr(self, name)()
                self.see_whether_it_waits()
                self.look()
                if number % 10 == 9 and not self.busy:
                    self.settle()
            self.finish()
        except Exception as error:
            last = "\n  ".join(self.log[-25:])
            raise AssertionError(
                f"{error}\nseed {self.seed}, the last of {len(self.log)} actions:\n  {last}\n"
                f"{self.facts()}"
            ) from error

    def facts(self) -> str:
        """Return the state of page and kernel just after a check failed."""
        try:
            views = [self.shown(view) for view in range(self.views)]
            held = "it is busy" if self.busy else self.lab.kernel.value("snapshot()")
        except Exception as error:  # noqa: BLE001 - the first error matters more
            return f"no more facts: {error}"
        return f"pick {self.pick}\nkernel {held}\nviews {views}"

    def look(self) -> None:
        """Check what must hold at any moment: the user's pick stays, and the page has no errors."""
        assert not self.lab.errors, "the page wrote errors:\n" + "\n".join(self.lab.errors)
        if self.pick is not None:
            self.check_marker(self.shown(), self.pick)

    def check_marker(self, view: dict[str, Any], lr: float | None) -> None:
        """Check that the marker is at the rate if the axis shows it."""
        low, high = view["span"]
        seen = lr if lr is not None and low <= lr <= high else None
        assert view["marker"] == seen, f"the marker is at {view['marker']}, the rate is {lr}"

    def shown(self, view: int = 0) -> dict[str, Any]:
        """Return the state of a view."""
        root = Finder(self.lab, view=view).root
        model = self.lab.page.evaluate("labTest.modelIds()")[0]
        found: dict[str, Any] = root.evaluate(SHOWN, model)
        return found

    def settle(self) -> None:
        """Check what must hold once kernel and page have exchanged their messages."""
        apart = ["never compared"]
        held: dict[str, Any] = {}

        def agreed() -> bool:
            held.update(self.lab.kernel.value("snapshot()"))
            held["rows"] = [row for row in held["rows"] if math.isfinite(row[1])]
            shown = [self.shown(view) for view in range(self.views)]
            if any(view["log"] for view in shown):
                # The rows are read from the chart. A change made in the page may still arrive.
                self.lab.kernel.run("w.log_y = False")
            apart[:] = [
                f"view {number} has {name} {view[name]}, the kernel {held[name]}"
                for number, view in enumerate(shown)
                for name in held.keys() & view.keys()
                if view[name] != held[name]
            ]
            return not apart

        try:
            self.lab.wait_for("kernel and page agree", agreed)
        except AssertionError as error:
            raise AssertionError(f"{error}: {apart}") from error
        self.check_kernel(held)
        for view in range(self.views):
            self.check_marker(self.shown(view), held["lr"])

    def check_kernel(self, held: dict[str, Any]) -> None:
        """Check the state of the kernel."""
        for old, new, another in held["edges"]:
            # An observer may miss short states, but an ended run stays ended in its table.
            assert another or new in EDGES.get(old, set()), f"the state went from {old} to {new}"
        if self.pick is not None:
            assert held["lr"] == self.pick, f"the kernel has {held['lr']}, picked was {self.pick}"
        elif held["state"] in ENDED:
            assert held["lr"] == [*held["refined"], held["suggestion"]][0]

    def finish(self) -> None:
        """End all activity: the model is restored, no thread remains, the page has all rows."""
        self.do_let_the_kernel_go()
        self.allowed += 1_000_000
        self.lab.allow("steps", self.allowed)
        self.lab.kernel.run("w.stop()")
        self.lab.wait_for(
            "no thread of the widget's stays",
            lambda: not self.lab.kernel.value("snapshot()")["threads"],
        )
        self.settle()
        held = self.lab.kernel.value("snapshot()")
        assert held["restored"], "the model is not as it was"
        assert held["state"] in {*ENDED, "idle"}
        self.look()
