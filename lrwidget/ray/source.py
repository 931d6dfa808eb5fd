"""Sweeps on a Ray cluster, as a widget's source."""

import contextlib
import dataclasses
import inspect
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ray import cloudpickle

from lrwidget.ray.handle import JobHandle
from lrwidget.ray.job import RETURNS, Job
from lrwidget.ray.runs import RemoteCheck, RemoteSweeps
from lrwidget.records.check_results import CheckResults
from lrwidget.records.records import LRRecords
from lrwidget.sources.base import NONE, Overrides, RemoteSource
from lrwidget.task.options import SWEEP_OPTIONS, SweepOptions
from lrwidget.validation import whole_number


class Cluster(Protocol):
    """Where jobs run."""

    def connect(self) -> None:
        """Connect this process to it."""

    def part(self, factory: bytes, job: Job) -> JobHandle:
        """One job, not submitted yet."""

    def waiting(self, jobs: int) -> str:
        """What so many jobs wait for, in words."""


class RaySource(RemoteSource):
    """Sweeps of what a factory makes on the workers of a cluster.

    Args:
        factory: called on the worker; returns a TrainingTask, or (model, optimizer, loss_fn, data).
        cluster: where.
        options: of the sweep, and arguments for the factory.

    Raises:
        TypeError, ValueError: what was given, what is expected, and how to mend it.
        ConnectionError: there is no cluster.
    """

    parallel = True
    where = "on a worker, and ends with it"

    def __init__(self, factory: Any, cluster: Cluster, **options: Any) -> None:
        if not callable(factory):
            raise TypeError(
                f"task_factory is a {type(factory).__name__}; with runner=RayRunner(...) expected "
                f"a function that returns {RETURNS}: it is called on the worker"
            )
        self._takes: Callable[..., Any] = factory
        self._cluster = cluster
        self.options, self._arguments = self._split(options, SweepOptions())
        # The same weights in every run of this widget, as with a model that is here.
        seed = self.options.seed
        self._seed = secrets.randbits(31) if seed is None else seed
        self._pickled = _pickled(factory)
        cluster.connect()

    def runner(self, label: str, overrides: Overrides = NONE) -> RemoteSweeps:
        """The sweeps of a run, each repeat on a worker of its own."""
        options, arguments = self._variant(overrides)
        if options.seed is None:
            options = dataclasses.replace(options, seed=secrets.randbits(31))
        assert options.seed is not None
        parts = [
            self._part(arguments, dataclasses.replace(options, repeats=1, seed=options.seed + i))
            for i in range(options.repeats)
        ]
        records = LRRecords({"label": label})
        return RemoteSweeps(parts, options, records, self._cluster.waiting)

    def checker(self, lrs: Sequence[float], steps: int, overrides: Overrides = NONE) -> RemoteCheck:
        """A check, each rate on a worker of its own."""
        options, arguments = self._variant(overrides)
        results = CheckResults(lrs)
        steps = whole_number("steps", steps, 2)
        parts = [self._part(arguments, options, lr=lr, steps=steps) for lr in results.lrs]
        return RemoteCheck(parts, results, steps, self._cluster.waiting)

    def close(self) -> None:
        """Let go of the factory and what it holds."""
        del self._pickled, self._takes
        self._arguments = {}

    def _part(self, arguments: dict[str, Any], options: SweepOptions, **check: Any) -> Any:
        return self._cluster.part(self._pickled, Job(self._seed, arguments, options, **check))

    def _variant(self, overrides: Overrides) -> tuple[SweepOptions, dict[str, Any]]:
        options, arguments = self._split(dict(overrides), self.options, self._arguments)
        return options, arguments

    def _split(
        self, given: dict[str, Any], options: SweepOptions, arguments: Overrides = NONE
    ) -> tuple[SweepOptions, dict[str, Any]]:
        """The options of the sweep, and the rest as arguments that the factory takes."""
        sweep = {name: value for name, value in given.items() if name in SWEEP_OPTIONS}
        rest = {**arguments, **{n: v for n, v in given.items() if n not in SWEEP_OPTIONS}}
        with contextlib.suppress(ValueError):  # some builtins have no signature
            signature = inspect.signature(self._takes)
            try:
                signature.bind(**rest)
            except TypeError as error:
                raise TypeError(
                    f"task_factory{signature} was to be called with ({_call(rest)}): {error}; "
                    f"expected its own arguments, and of the options {', '.join(SWEEP_OPTIONS)}"
                ) from None
        return dataclasses.replace(options, **sweep), rest


def _call(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name}=..." for name in arguments)


def _pickled(factory: Any) -> bytes:
    try:
        pickled: bytes = cloudpickle.dumps(factory)  # type: ignore[no-untyped-call]
    except Exception as error:
        raise TypeError(
            f"task_factory cannot be sent to a worker ({type(error).__name__}: {error}); make "
            "inside of it what cannot be pickled, such as open files, locks and connections"
        ) from error
    return pickled
