"""A sweep in a background thread."""

import gc
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lrwidget import TrainingTask
from lrwidget.engine.runner import RunState
from lrwidget.sources.local import SweepRunner
from lrwidget.task.options import SweepOptions
from tests.tasks import problem

ENDED = {RunState.FINISHED, RunState.DIVERGED, RunState.STOPPED, RunState.FAILED}


class Gate:
    """A loss function that blocks after the permitted number of steps."""

    def __init__(self, loss_fn: Callable[..., Any]) -> None:
        self.loss_fn = loss_fn
        self.tokens = threading.Semaphore(0)
        self.error: Exception | None = None

    def __deepcopy__(self, memo: Any) -> "Gate":
        return self

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.tokens.acquire()
        if self.error is not None:
            raise self.error
        return self.loss_fn(output, target)


def gated(steps: int = 10) -> tuple[SweepRunner, Gate]:
    model, optimizer, loss_fn, loader = problem()
    gate = Gate(loss_fn)
    task = TrainingTask(model, optimizer, gate, loader)
    options = SweepOptions(start_lr=1e-6, end_lr=1e-3, steps=steps)
    return SweepRunner(task, options), gate


def until(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds, with a timeout."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "this never came about"
        time.sleep(0.002)


def test_start_returns_at_once_and_wait_gives_the_records() -> None:
    runner, gate = gated()
    runner.start()
    assert runner.state is RunState.RUNNING
    assert len(runner.records) == 0
    gate.tokens.release(10)
    assert runner.wait() is runner.records
    assert (runner.state, len(runner.records)) == (RunState.FINISHED, 10)


def test_a_run_starts_once() -> None:
    runner, gate = gated()
    runner.start()
    with pytest.raises(RuntimeError, match="this sweep is running"):
        runner.start()
    gate.tokens.release(10)
    runner.wait()
    with pytest.raises(RuntimeError, match="make another one"):
        runner.start()


def test_a_model_that_is_being_swept_is_refused_at_start() -> None:
    model, optimizer, loss_fn, loader = problem()
    gate = Gate(loss_fn)
    task = TrainingTask(model, optimizer, gate, loader)
    options = SweepOptions(start_lr=1e-6, end_lr=1e-3, steps=10)
    first = SweepRunner(task, options)
    first.start()
    gate.tokens.release(1)
    until(lambda: len(first.records) == 1)
    with pytest.raises(RuntimeError, match="being swept already"):
        SweepRunner(task, options).start()
    gate.tokens.release(100)
    first.wait()
    again = SweepRunner(task, options)
    again.start()
    assert len(again.wait()) == 10


def test_of_two_that_start_at_once_one_is_refused_at_start() -> None:
    model, optimizer, _, loader = problem()
    options = SweepOptions(start_lr=1e-6, end_lr=1e-3, steps=2)
    for _ in range(100):
        gate = Gate(torch.nn.CrossEntropyLoss())
        task = TrainingTask(model, optimizer, gate, loader)
        runners = [SweepRunner(task, options) for _ in range(2)]
        barrier = threading.Barrier(2)
        refused: list[SweepRunner] = []

        def start(runner: SweepRunner, barrier: Any = barrier, refused: Any = refused) -> None:
            barrier.wait()
            try:
                runner.start()
            except RuntimeError as error:
                assert "being swept already" in str(error)  # noqa: PT017
                refused.append(runner)

        threads = [threading.Thread(target=start, args=(runner,)) for runner in runners]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        gate.tokens.release(2)
        assert len(refused) == 1
        assert refused[0].state is RunState.IDLE
        (ran,) = (runner for runner in runners if runner not in refused)
        assert len(ran.wait()) == 2


def test_an_interrupt_of_start_leaves_the_model_free(monkeypatch: pytest.MonkeyPatch) -> None:
    runner, gate = gated()
    gate.tokens.release(100)

    def interrupted(thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            runner.start()
    assert runner.state is RunState.IDLE
    runner.start()
    assert len(runner.wait()) == 10


def test_pause_holds_after_the_step_in_hand_and_resume_goes_on() -> None:
    runner, gate = gated()
    runner.start()
    gate.tokens.release(3)
    until(lambda: len(runner.records) == 3)
    runner.pause()
    gate.tokens.release(100)
    until(lambda: runner.state is RunState.PAUSED)
    held = len(runner.records)
    elapsed = runner.elapsed
    assert held == 4
    time.sleep(0.05)
    assert (len(runner.records), runner.elapsed) == (held, elapsed)
    runner.resume()
    assert len(runner.wait()) == 10
    assert runner.elapsed > elapsed


def test_stop_keeps_the_rows_also_out_of_a_pause() -> None:
    runner, gate = gated()
    runner.start()
    runner.pause()
    gate.tokens.release(1)
    until(lambda: runner.state is RunState.PAUSED)
    runner.stop()
    assert len(runner.wait()) == 1
    assert runner.state is RunState.STOPPED


def test_wait_says_when_time_is_up_and_when_nothing_runs() -> None:
    runner, gate = gated()
    with pytest.raises(RuntimeError, match="has not been started"):
        runner.wait()
    runner.start()
    with pytest.raises(TimeoutError, match="it goes on"):
        runner.wait(timeout=0.01)
    gate.tokens.release(10)
    runner.wait()


def test_a_sweep_is_extended_while_it_runs_and_while_it_is_paused() -> None:
    plain, gate = gated(steps=6)
    plain.start()
    gate.tokens.release(100)
    before = plain.wait().lr
    runner, gate = gated(steps=6)
    runner.start()
    gate.tokens.release(2)
    until(lambda: len(runner.records) == 2)
    runner.extend(1e-2)
    assert runner.steps == 8
    runner.pause()
    gate.tokens.release(100)
    until(lambda: runner.state is RunState.PAUSED)
    assert runner.records.meta["options"]["end_lr"] == 1e-2
    runner.extend(0.1)
    runner.resume()
    records = runner.wait()
    assert (len(records), runner.steps) == (10, 10)
    assert records.lr[:6].tolist() == before.tolist()
    assert records.lr[7] == 1e-2
    assert records.lr[9] == 0.1
    options = records.meta["options"]
    assert (options["end_lr"], options["steps"]) == (0.1, 10)


def test_a_sweep_that_is_paused_after_its_last_step_can_still_be_extended() -> None:
    runner, gate = gated(steps=3)
    runner.start()
    gate.tokens.release(2)
    until(lambda: len(runner.records) == 2)
    runner.pause()
    gate.tokens.release(100)
    until(lambda: runner.state is RunState.PAUSED)
    assert len(runner.records) == 3
    runner.extend(1e-2)
    runner.resume()
    assert runner.wait().lr.tolist() == pytest.approx([1e-5, 1e-4, 1e-3, 1e-2])


def test_stop_right_after_an_extension_tells_of_it_too() -> None:
    runner, gate = gated()
    runner.start()
    runner.pause()
    gate.tokens.release(1)
    until(lambda: runner.state is RunState.PAUSED)
    runner.extend(1.0)
    runner.stop()
    assert runner.wait().meta["options"]["end_lr"] == 1.0


def test_what_is_not_under_way_is_not_extended() -> None:
    runner, gate = gated()
    with pytest.raises(RuntimeError, match=r"is idle, .*; start one with end_lr=1.0"):
        runner.extend(1.0)
    runner.start()
    with pytest.raises(ValueError, match=r"goes to 0\.001 already"):
        runner.extend(1e-3)
    gate.tokens.release(100)
    assert len(runner.wait()) == 10
    with pytest.raises(RuntimeError, match="is finished"):
        runner.extend(1.0)


def test_an_exception_is_kept_raised_by_wait_and_leaves_the_model_as_it_was() -> None:
    model, optimizer, _, loader = problem()

    def broken(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError("in the loss")

    before = [p.clone() for p in model.parameters()]
    runner = SweepRunner(TrainingTask(model, optimizer, broken, loader), SweepOptions())
    runner.start()
    with pytest.raises(ZeroDivisionError, match="in the loss"):
        runner.wait()
    assert runner.state is RunState.FAILED
    assert "in broken" in (runner.traceback or "")
    assert all(map(torch.equal, before, model.parameters()))


def test_changes_of_state_are_told_from_the_thread_that_sweeps() -> None:
    runner, gate = gated()
    told: list[tuple[RunState, str]] = []
    runner.on_change = lambda: told.append((runner.state, threading.current_thread().name))
    runner.start()
    runner.pause()
    gate.tokens.release(10)
    until(lambda: runner.state is RunState.PAUSED)
    runner.resume()
    runner.wait()
    assert told == [
        (state, "lrwidget sweep")
        for state in (RunState.RUNNING, RunState.PAUSED, RunState.RUNNING, RunState.FINISHED)
    ]


def test_the_thread_takes_over_the_default_device_of_the_caller() -> None:
    seen: list[torch.device] = []
    model, optimizer, loss_fn, loader = problem()

    def step(batch: Any) -> torch.Tensor:
        seen.append(torch.get_default_device())
        return loss_fn(model(batch[0]), batch[1])

    batches = list(loader)
    task = TrainingTask(model, optimizer, data=batches, step=step)
    with torch.device("meta"):
        runner = SweepRunner(task, SweepOptions(steps=2))
        runner.start()
    runner.wait()
    assert {device.type for device in seen} == {"meta"}


def test_close_ends_the_thread_and_lets_go_of_the_model() -> None:
    model, optimizer, loss_fn, loader = problem()
    gate = Gate(loss_fn)
    runner = SweepRunner(TrainingTask(model, optimizer, gate, loader), SweepOptions())
    gone = weakref.ref(model)
    runner.start()
    gate.tokens.release(1000)
    runner.close()
    assert not [t for t in threading.enumerate() if t.name == "lrwidget sweep"]
    del model, optimizer, loader
    gc.collect()
    assert gone() is None


class RunnerMachine(RuleBasedStateMachine):
    """In any order of commands, states change only as allowed and no row is lost or doubled."""

    def __init__(self) -> None:
        super().__init__()
        self.runner, self.gate = gated(steps=6)
        self.states: list[RunState] = [RunState.IDLE]
        self.runner.on_change = lambda: self.states.append(self.runner.state)
        self.started = False
        self.end, self.steps = 1e-3, 6

    @precondition(lambda self: not self.started)
    @rule()
    def start(self) -> None:
        self.runner.start()
        self.started = True

    @rule()
    def pause(self) -> None:
        self.runner.pause()

    @rule()
    def resume(self) -> None:
        self.runner.resume()

    @precondition(lambda self: self.started)
    @rule()
    def stop(self) -> None:
        self.runner.stop()

    @rule(steps=st.integers(1, 3))
    def let_steps_through(self, steps: int) -> None:
        self.gate.tokens.release(steps)

    @precondition(lambda self: self.end < 1.0)
    @rule()
    def extend(self) -> None:
        try:
            self.runner.extend(10 * self.end)
        except RuntimeError:
            assert self.runner.state not in (RunState.RUNNING, RunState.PAUSED) or (
                len(self.runner.records) == self.steps
            )
        else:
            self.end *= 10
            self.steps += 2

    @rule()
    def break_the_model(self) -> None:
        self.gate.error = ArithmeticError("broken")

    @invariant()
    def rows_are_a_beginning_of_the_ladder(self) -> None:
        lr = self.runner.records.lr
        assert len(lr) <= self.steps
        assert lr == pytest.approx(1e-6 * 10 ** (np.arange(1, len(lr) + 1) / 2))

    def teardown(self) -> None:
        self.gate.tokens.release(100)
        self.runner.resume()
        if self.started:
            try:
                records = self.runner.wait(60)
                assert self.runner.state is RunState.STOPPED or len(records) == self.steps
            except ArithmeticError:
                assert self.runner.state is RunState.FAILED
            assert self.runner.state in ENDED
        self.runner.close()
        allowed = {
            RunState.IDLE: {RunState.RUNNING, RunState.FAILED},
            RunState.RUNNING: {RunState.PAUSED, *ENDED},
            RunState.PAUSED: {RunState.RUNNING, RunState.STOPPED},
        }
        for before, after in zip(self.states, self.states[1:], strict=False):
            assert after in allowed[before], self.states


TestRunnerMachine = RunnerMachine.TestCase
TestRunnerMachine.settings = settings(max_examples=30, stateful_step_count=12)
