"""Sweeps on a Ray cluster, as a widget's source."""

import contextlib
import dataclasses
import inspect
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ray import cloudpickle

from lrwidget.ray.handle import JobHandle
from lrwidget.ray.job import EXPECTED_RETURN, Job
from lrwidget.ray.runs import RemoteCheck, RemoteSweeps
from lrwidget.records.check_results import CheckResults
from lrwidget.records.records import LRRecords
from lrwidget.sources.base import NONE, Overrides, RemoteSource
from lrwidget.task.options import SWEEP_OPTIONS, SweepOptions
from lrwidget.validation import whole_number


class Cluster(Protocol):
    """A place where jobs run, such as `RayRunner`."""

    def connect(self) -> None:
        """Connect this process to the cluster."""

    def job_handle(self, factory: bytes, job: Job) -> JobHandle:
        """Return a handle of a job, not submitted yet."""

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
                f"task_factory is a {type(factory).__name__}; with runner=RayRunner(...) expected "
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
        return RemoteSweeps(handles, options, records, self._cluster.wait_message)

    def checker(self, lrs: Sequence[float], steps: int, overrides: Overrides = NONE) -> RemoteCheck:
        """Return a runner of a check, each learning rate on a separate worker."""
        options, arguments = self._with_overrides(overrides)
        results = CheckResults(lrs)
        steps = whole_number("steps", steps, 2)
        handles = [self._job_handle(arguments, options, lr=lr, steps=steps) for lr in results.lrs]
        return RemoteCheck(handles, results, steps, self._cluster.wait_message)

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
        return dataclasses.replace(options, **sweep), rest


def _names(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name}=..." for name in arguments)


def _pickle(factory: Any) -> bytes:
    try:
        pickled: bytes = cloudpickle.dumps(factory)  # type: ignore[no-untyped-call]
    except Exception as error:
        raise TypeError(
            f"task_factory cannot be sent to a worker ({type(error).__name__}: {error}); make "
            "inside of it what cannot be pickled, such as open files, locks and connections"
        ) from error
    return pickled
