"""Sweeps on a Ray cluster, as a widget's source."""

import contextlib
import dataclasses
import inspect
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ray import cloudpickle

from lrwidget.data.named_samples import refuse_bad_share
from lrwidget.ray.handle import JobHandle
from lrwidget.ray.job import EXPECTED_RETURN, Job
from lrwidget.ray.runs import RemoteCheck, RemoteSweeps
from lrwidget.ray.trials import RemoteRefinement
from lrwidget.records.check_results import CheckResults
from lrwidget.records.records import LRRecords
from lrwidget.sources.base import NONE, Overrides, RemoteSource
from lrwidget.task.options import SWEEP_OPTIONS, SweepOptions
from lrwidget.text.articles import a_kind
from lrwidget.validation import whole_number


class Cluster(Protocol):
    """A place where jobs run, such as `RayRunner`.

    Attributes:
        workers: number of workers that train one model together.
    """

    workers: int

    def connect(self) -> None:
        """Connect this process to the cluster."""

    def job_handle(self, factory: bytes, job: Job) -> JobHandle:
        """Return a handle of a job, not submitted yet."""

    def start_trial_worker(self) -> Any:
        """Request a worker for trials; return its actor, a `TrialWorker`."""

    def wait_message(self, jobs: int) -> str:
        """Return a message that says which resources `jobs` jobs wait for."""


class RaySource(RemoteSource):
    """Runs sweeps of the task that a factory makes on the workers of a cluster.

    Args:
        factory: called on the worker; returns a TrainingTask, or (model, optimizer, loss_fn, data).
        cluster: where the jobs run.
        options: options of the sweep, and arguments of the factory.

    Raises:
        TypeError, ValueError: an argument has the wrong type or value.
        ConnectionError: no cluster can be reached.
    """

    options: SweepOptions
    parallel = True
    where = "on a worker, and ends with it"

    def __init__(self, factory: Any, cluster: Cluster, **options: Any) -> None:
        if not callable(factory):
            raise TypeError(
                f"task_factory is {a_kind(factory)}; with runner=RayRunner(...) expected "
                f"a function that returns {EXPECTED_RETURN}: it is called on the worker"
            )
        self._factory: Callable[..., Any] = factory
        self._cluster = cluster
        self.options, self._arguments = self._split_options(options, SweepOptions())
        # All runs of a widget begin with the same weights, as with a local model.
        seed = self.options.seed
        self._seed = secrets.randbits(31) if seed is None else seed
        self._pickled = _pickle(factory)
        cluster.connect()

    def runner(self, label: str, overrides: Overrides = NONE) -> RemoteSweeps:
        """Return a runner of the sweeps of a run, each repeat on a separate worker."""
        options, arguments = self._with_overrides(overrides)
        if options.seed is None:
            options = dataclasses.replace(options, seed=secrets.randbits(31))
        assert options.seed is not None
        handles = [
            self._job_handle(
                arguments, dataclasses.replace(options, repeats=1, seed=options.seed + i)
            )
            for i in range(options.repeats)
        ]
        records = LRRecords({"label": label})
        sweeps = RemoteSweeps(handles, options, records, self._cluster.wait_message)
        sweeps.cannot_refine = self._why_not_refined()
        return sweeps

    def checker(self, lrs: Sequence[float], steps: int, overrides: Overrides = NONE) -> RemoteCheck:
        """Return a runner of a check, each learning rate on a separate worker."""
        options, arguments = self._with_overrides(overrides)
        results = CheckResults(lrs)
        steps = whole_number("steps", steps, 2)
        handles = [self._job_handle(arguments, options, lr=lr, steps=steps) for lr in results.lrs]
        return RemoteCheck(handles, results, steps, self._cluster.wait_message)

    def refiner(
        self,
        records: LRRecords,
        budget: int,
        planned_steps: int | None,
        held_out: Any,
        overrides: Overrides = NONE,
    ) -> RemoteRefinement:
        """Return a runner of a refinement, up to three of its trials at once.

        Raises:
            TypeError, ValueError: an argument is invalid.
            RuntimeError: several workers train one model together.
        """
        if why := self._why_not_refined():
            raise RuntimeError(why)
        budget = whole_number("budget", budget, 1)
        if planned_steps is not None:
            whole_number("planned_steps", planned_steps, 1)
        refuse_bad_share(held_out)
        options, arguments = self._with_overrides(overrides)
        return RemoteRefinement(
            self._cluster.start_trial_worker,
            self._pickled,
            Job(self._seed, arguments, options),
            _pickle(held_out, "held_out"),
            records=records,
            budget=budget,
            planned_steps=planned_steps,
            wait_message=self._cluster.wait_message,
        )

    def _why_not_refined(self) -> str:
        if self._cluster.workers == 1:
            return ""
        return (
            f"{self._cluster.workers} workers train one model together, and trials run side by "
            "side with one worker each: give RayRunner(workers=1), or call refine(task, records) "
            "in a script that runs on every rank"
        )

    def close(self) -> None:
        """Release the factory and its arguments."""
        del self._pickled, self._factory
        self._arguments = {}

    def _job_handle(self, arguments: dict[str, Any], options: SweepOptions, **check: Any) -> Any:
        return self._cluster.job_handle(self._pickled, Job(self._seed, arguments, options, **check))

    def _with_overrides(self, overrides: Overrides) -> tuple[SweepOptions, dict[str, Any]]:
        options, arguments = self._split_options(dict(overrides), self.options, self._arguments)
        return options, arguments

    def _split_options(
        self, given: dict[str, Any], options: SweepOptions, arguments: Overrides = NONE
    ) -> tuple[SweepOptions, dict[str, Any]]:
        """Split `given` into the options of the sweep and the arguments of the factory."""
        sweep = {name: value for name, value in given.items() if name in SWEEP_OPTIONS}
        rest = {**arguments, **{n: v for n, v in given.items() if n not in SWEEP_OPTIONS}}
        with contextlib.suppress(ValueError):  # some builtins have no signature
            signature = inspect.signature(self._factory)
            try:
                signature.bind(**rest)
            except TypeError as error:
                raise TypeError(
                    f"task_factory{signature} was to be called with ({_names(rest)}): {error}; "
                    f"expected its own arguments, and of the options {', '.join(SWEEP_OPTIONS)}"
                ) from None
        for name in given.keys() - sweep.keys():  # so that no job fails at it, one after another
            _pickle(given[name], f"argument {name} of task_factory")
        return dataclasses.replace(options, **sweep), rest


def _names(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name}=..." for name in arguments)


def _pickle(value: Any, name: str = "task_factory") -> bytes:
    try:
        pickled: bytes = cloudpickle.dumps(value)  # type: ignore[no-untyped-call]
    except Exception as error:
        raise TypeError(
            f"{name} cannot be sent to a worker ({type(error).__name__}: {error}); make inside "
            "of task_factory what cannot be pickled, such as open files, locks and connections"
        ) from error
    return pickled
