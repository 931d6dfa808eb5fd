"""Tests that play random actions on a widget and check its invariants."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from typing import Any

import pytest
import traitlets

from lrwidget import LRRecords
from lrwidget.engine.runner import ENDED as ENDED_BY
from tests.widget.fakepage import tables
from tests.widget.finder import ENDED, Gate, OutOfLuckError, comm_of, everything, finder, training

ACTIVE = {"running", "paused"}
JUNK = [None, 3, {"type": "resync"}, {"type": "command", "name": "close"}, {"type": ["hello"]}]


class Player:
    """Plays random actions on a widget and checks the invariants after each of them."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.gate = Gate()
        self.parts = training() | {"loss_fn": self.gate}
        self.before = everything(self.parts)
        self.w = finder(**self.parts, steps=12, repeats=self.dice.choice([1, 2]))
        self.page = comm_of(self.w)
        self.state = "idle"
        self.runs: list[LRRecords] = []
        self.active: LRRecords | None = None
        self.latest: LRRecords | None = None
        self.pick: Any = ...  # ... means that no rate was picked
        self.log: list[str] = []
        self.observers: set[threading.Thread] = set()
        self.w.observe(lambda _: self.observers.add(threading.current_thread()))

    def play(self, actions: int) -> None:
        names = sorted(name for name in dir(self) if name.startswith("do_"))
        for _ in range(actions):
            name = self.dice.choice(names)
            self.log.append(name)
            getattr(self, name)()
            self.check()
        self.finish()

    def check(self) -> None:
        """Check that the state took an allowed transition and that the user's pick is unchanged."""
        state = self.w.state
        if self.state in ACTIVE:
            assert state in ACTIVE | ENDED, self.log
        else:
            # Only start and reset change the state of a widget at rest, and they update the model.
            assert state == self.state, self.log
        self.state = state
        if self.pick is not ...:
            assert self.w.lr == self.pick, self.log
        elif state in ENDED:
            self.check_rate()
        assert self.w.step <= len(self.w.records) <= self.w.steps
        assert self.w.runs == self.runs, self.log
        if self.active is not None:
            assert self.w.records is self.active, self.log
        names = [records.meta["label"] for records in self.runs]
        assert len({*names}) == len(names), self.log
        assert [label for _, label, _ in self.w._legend["runs"]] == names, self.log

    def check_rate(self) -> None:
        """Check that the program's rate is the suggestion, or the refined rate."""
        refinement, suggested = self.w._run_list.refinement, self.w.suggestion
        end = refinement and refinement.outcome
        lr = self.w.lr
        if refinement is None or refinement.sweep.records is not self.active:
            assert lr == suggested, self.log
        elif end is not None and end.state != "failed":
            assert lr == refinement.result.lr, self.log
        else:  # it may have ended since, or an earlier one may have
            earlier = refinement.sweep.refined
            assert lr in (suggested, earlier and earlier.suggestion), self.log

    @property
    def refining(self) -> bool:
        refinement = self.w._run_list.refinement
        return refinement is not None and refinement.under_way

    def finish(self) -> None:
        """End the sweep and check that the page has every row and that all state is restored."""
        self.gate.open()
        if self.dice.random() < 0.5:
            self.w.stop()
        else:
            self.w.resume()  # to its end
        if self.latest is not None:
            failed: str | None = None
            try:
                self.w.wait(60)
            except OutOfLuckError as error:
                failed = f"OutOfLuckError: {error}"
            refinement = self.w._run_list.refinement
            if refinement is not None and self.w._run_list.latest is refinement:
                assert refinement.status().error == failed
            elif self.latest is self.active:
                assert self.w.error == failed
        self.check()
        held = tables(self.page.rows_messages)
        rows = {
            number: run.records.rows().tolist() for number, run in self.w._run_list.kept.items()
        }
        assert {number: held[number] for number in rows} == rows, self.log
        refinement = self.w._run_list.refinement
        if refinement is not None:
            sent = tables([m for m in self.page.sent if m.content.get("type") == "refinement"])
            assert sent[refinement.number] == refinement.records.rows().tolist(), self.log
        assert self.observers <= {threading.current_thread()}
        assert everything(self.parts) == self.before, self.log
        self.edges()

    def edges(self) -> None:
        """Check that no message of a run changes its state after the end."""
        ended: dict[int, str] = {}
        for message in self.page.rows_messages:
            run, state = message.content["run"], message.content["state"]
            if run in ended:
                assert state == ended[run], self.log
            elif state in ENDED:
                ended[run] = state

    # -- the kernel's side

    def do_start(self) -> None:
        if self.w.state in ACTIVE:
            under_way, refused = self.w.records, ""
            try:
                self.w.start()
            except RuntimeError as error:
                refused = str(error)
            if refused:
                assert "already" in refused, self.log
                return
            # The sweep ended between the two calls.
            assert under_way.stop_reason is not None, self.log
        else:
            options = self.dice.choice([{}, {}, {"batch_size": 64}, {"label": "mine", "steps": 9}])
            error, self.gate.error = self.gate.error, None
            try:
                self.w.start(**options)
            except RuntimeError as problem:
                refused = str(problem)
                self.gate.error = error
            else:
                refused = ""
            if refused:
                assert "a refinement is" in refused, self.log
                return
        self.state = "running"
        self.latest = self.active = self.w.records
        self.runs = [*self.runs, self.active]

    def do_refine(self) -> None:
        if self.dice.random() < 0.5 and self.w.state in ACTIVE:
            self.w.resume()
            self.gate.let(30)  # so that the sweep ends
            with contextlib.suppress(TimeoutError, OutOfLuckError):
                self.w.wait(0.5)
        hindered = self.refining or self.w.state in ACTIVE or not len(self.w.records)
        added = self.w._detail["budget"] == 0
        try:
            self.w.refine(budget=max(200, len(self.w.records) + 180))
        except (RuntimeError, ValueError):
            assert hindered or added, self.log
        else:
            assert not added, self.log
            self.latest = self.active

    def do_let_trials(self) -> None:
        if self.refining:
            self.gate.let(90)

    def do_extend_the_budget(self) -> None:
        if self.refining and self.dice.random() < 0.2:
            with contextlib.suppress(RuntimeError):  # it may have ended
                self.w.extend()

    def do_add(self) -> None:
        records = LRRecords()
        for _ in range(self.dice.randint(0, 5)):
            records.append(10 ** self.dice.uniform(-5, 0), self.dice.random())
        self.runs = [*self.runs, self.w.add(records)]

    def do_rename(self) -> None:
        if self.runs:
            self.w.rename(self.dice.choice(self.runs), self.dice.choice(["mine", "yours"]))

    def do_activate(self) -> None:
        if not self.runs:
            return
        run, state, refining = self.dice.choice(self.runs), self.w.state, self.refining
        try:
            self.w.activate(run)
        except RuntimeError:
            assert state in ACTIVE or refining, self.log
            assert run is not self.active, self.log
        else:
            self.be_at(run)

    def do_remove(self) -> None:
        if not self.runs or self.dice.random() < 0.3:
            return
        run, state, refining = self.dice.choice(self.runs), self.w.state, self.refining
        try:
            self.w.remove(run)
        except RuntimeError:
            assert state in ACTIVE or refining, self.log
            assert run is self.active or refining, self.log
        else:
            self.gone(run)

    def gone(self, run: LRRecords) -> None:
        self.runs = [other for other in self.runs if other is not run]
        if self.latest is run:
            self.latest = None
        if self.active is run:
            self.be_at(self.runs[-1] if self.runs else None)

    def be_at(self, run: LRRecords | None) -> None:
        """Make this run the active one in the model; None means that no run is active."""
        self.active = run
        if run is None:
            self.state = "idle"
        elif self.w.state not in ACTIVE:
            self.state = "stopped" if run.stop_reason is None else ENDED_BY[run.stop_reason].value

    def do_let_steps(self) -> None:
        self.gate.let(self.dice.randint(1, 6))
        time.sleep(self.dice.choice([0, 0.001, 0.01]))

    do_let_more_steps = do_let_steps

    def do_pause(self) -> None:
        self.w.pause()

    def do_resume(self) -> None:
        self.w.resume()

    def do_stop(self) -> None:
        if self.dice.random() < 0.3:
            self.w.stop()

    def do_fail(self) -> None:
        if self.dice.random() < 0.2:
            self.gate.error = OutOfLuckError(f"after {len(self.log)} actions")

    def do_reset(self) -> None:
        if self.dice.random() < 0.3:
            self.gate.let(30)  # reset waits for the current step
            self.w.reset()
            self.state, self.pick = "idle", ...
            self.runs, self.active, self.latest = [], None, None

    def do_pick(self) -> None:
        self.w.lr = lr = self.dice.choice([1e-4, 1e-3, 0.5])
        self.pick = self.clamped(lr)

    def clamped(self, lr: float) -> float:
        """Return the rate limited to the range of the active run."""
        low, high = self.w._range
        if not low <= lr <= high and self.w.refinement is not None:
            # It may have tried rates beyond the range.
            assert min(low, lr) <= self.w.lr <= max(high, lr)
            return float(self.w.lr)
        return min(max(lr, low), high)

    def do_pick_nonsense(self) -> None:
        with pytest.raises(traitlets.TraitError):
            self.w.lr = float("nan")

    def do_wait_a_moment(self) -> None:
        if self.latest is None and self.w.state == "idle":
            with pytest.raises(RuntimeError, match="no sweep"):
                self.w.wait(0.001)
            return
        with contextlib.suppress(TimeoutError, OutOfLuckError):
            ended = self.w.wait(0.001)
            assert self.latest is not None or ended is self.w.records

    # -- the page's side

    def do_page_drag(self) -> None:
        lr = self.dice.choice([1e-6, 2e-3, 40.0])
        self.page.set(lr=lr)
        self.pick = self.clamped(lr)

    def do_page_slide(self) -> None:
        self.page.set(smoothing=self.dice.choice([0.0, 0.5, 0.99, 4, "x"]), y_max=2.5)
        assert 0 <= self.w.smoothing <= 0.99
        assert self.w.y_max == 2.5

    def do_page_reload(self) -> None:
        self.page.receive({"method": "request_state"})
        self.page.say(type="hello")

    def do_page_resync(self) -> None:
        run, start = self.dice.randint(0, 3), self.dice.randint(0, 30)
        self.page.say(type="resync", run=run, **{"from": start})

    def do_page_button(self) -> None:
        self.page.say(type="command", name=self.dice.choice(["pause", "resume"]))

    def do_page_run(self) -> None:
        """Act on a run from the page's legend, which may still list removed runs."""
        number = self.dice.randint(0, 12)
        action = self.dice.choice(["activate", "remove", "rename"])
        run = self.w._run_list.kept.get(number)
        if self.w.state in ACTIVE or self.refining:
            action = "rename"
        self.page.say(type="run", action=action, run=number, label="named by the page")
        if run is not None and action == "activate":
            self.be_at(run.records)
        elif run is not None and action == "remove":
            self.gone(run.records)

    def do_page_apply(self) -> None:
        self.page.say(type="command", name="apply")
        if self.w._detail["notice"].startswith("The optimizer's learning rate is now"):
            self.before = everything(self.parts)  # sweeps now restore this state

    def do_page_junk(self) -> None:
        self.page.receive({"method": "custom", "content": self.dice.choice(JUNK)})
        self.page.receive(self.dice.choice(JUNK))

    def do_page_lies(self) -> None:
        self.page.set(state="finished", step=99, _rows=None, error="no")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_played_the_promises_hold(seed: int) -> None:
    player = Player(seed)
    player.play(150)
