"""RayRunner: runs the sweeps of a widget on a Ray cluster."""

import numbers
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lrwidget.sources.base import Overrides
from lrwidget.text.articles import a_kind
from lrwidget.validation import whole_number

if TYPE_CHECKING:
    from lrwidget.ray.handle import JobHandle
    from lrwidget.ray.job import Job
    from lrwidget.ray.source import RaySource

INSTALL = "RayRunner needs Ray, which is not installed; pip install 'lrwidget[ray]'"


class RayRunner:
    """Runs the sweeps of a widget on a Ray cluster: `LRFinderWidget(task_factory, runner=...)`.

    `task_factory` is called on the worker and returns a TrainingTask, or (model, optimizer,
    loss_fn, data). Options of the widget that a sweep does not have are passed to it as arguments.

    Args:
        address: address of the cluster for `ray.init`, such as "auto" or "10.0.0.1:6379"; None is
            the cluster that this process is connected to, or else the one that `ray.init()` finds
            or starts.
        num_cpus: cores per worker (1).
        num_gpus: GPUs per worker (0); may be a fraction.
        workers: number of workers that train one model together in a sweep, under Ray Train's
            TorchTrainer (1).
        max_retries: how often a sweep begins again when its worker is lost (0).

    Raises:
        ImportError: Ray is not installed.
        TypeError, ValueError: an argument has the wrong type or value.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        num_cpus: float = 1,
        num_gpus: float = 0,
        workers: int = 1,
        max_retries: int = 0,
    ) -> None:
        try:
            import ray  # noqa: F401
        except ModuleNotFoundError as error:
            raise ImportError(INSTALL, name=error.name) from error
        if address is not None and not isinstance(address, str):
            raise TypeError(f"address is {address!r}; expected text such as 'auto', or None")
        if address is not None and address.startswith("ray://"):
            raise ValueError(
                f"address is {address!r}, of Ray Client, which cannot stream; let this machine "
                "join the cluster (ray start --address=... --num-cpus=0) and give address='auto'"
            )
        self.address = address
        self.num_cpus: float = _amount("num_cpus", num_cpus)
        self.num_gpus: float = _amount("num_gpus", num_gpus)
        self.workers: int = whole_number("workers", workers, 1)
        self.max_retries: int = whole_number("max_retries", max_retries, 0)
        # Coordinators that are shutting down, each with the reference that is ready at its end.
        # Several threads use the list; they hold `connection.LOCK`.
        self._shutting_down: list[tuple[Any, Any]] = []

    def connect(self) -> None:
        """Connect this process to the cluster, unless it is already connected.

        Raises:
            ConnectionError: there is no cluster at the address.
        """
        from lrwidget.ray.connection import connect

        connect(self.address)

    def source(self, factory: Any, options: Overrides) -> "RaySource":
        """Return the source of a widget whose sweeps run on this cluster; see `RaySource`."""
        from lrwidget.ray.source import RaySource

        return RaySource(factory, self, **options)

    def job_handle(self, factory: bytes, job: "Job") -> "JobHandle":
        """Return a handle of a job, not submitted yet; `factory` is pickled."""
        from lrwidget.ray.handle import JobHandle

        return JobHandle(self._start_actor, self._stop_actor, factory, job, self.max_retries)

    def start_trial_worker(self) -> Any:
        """Request a worker for the trials of a refinement; return its actor, a `TrialWorker`."""
        import ray

        from lrwidget.ray.trial_worker import TrialWorker

        # A restarted actor would have lost its states; orders arrive while it streams.
        options: dict[str, Any] = {"max_restarts": 0, "max_concurrency": 8}
        worker = ray.remote(TrialWorker)
        return worker.options(num_cpus=self.num_cpus, num_gpus=self.num_gpus, **options).remote()

    def wait_message(self, jobs: int) -> str:
        """Return a message that says which resources `jobs` jobs wait for; queries the cluster.

        Raises:
            WorkerLostError: this process is disconnected from the cluster.
        """
        import ray

        from lrwidget.ray.connection import Session

        with Session():
            nodes = ray.nodes()  # type: ignore[no-untyped-call]
        alive = [node["Resources"] for node in nodes if node["Alive"]]
        if any(self._fits(node) for node in alive):
            workers = jobs * self.workers
            what = f"{workers} workers" if workers > 1 else "a worker"
            return f"Waiting for {what} with {self._needs()}: not free yet."
        return (
            f"Waiting for a node with {self._needs()}: none of the {len(alive)} nodes of the "
            "cluster has that."
        )

    def _fits(self, node: Mapping[str, float]) -> bool:
        return node.get("CPU", 0) >= self.num_cpus and node.get("GPU", 0) >= self.num_gpus

    def _needs(self) -> str:
        needs = [f"{self.num_cpus:g} CPU"] if self.num_cpus else []
        needs += [f"{self.num_gpus:g} GPU"] if self.num_gpus else []
        return " and ".join(needs) or "0 CPU"

    def _start_actor(self) -> Any:
        import ray

        # A restarted actor would have lost its job. Several calls run at once, since commands
        # arrive while it streams.
        options: dict[str, Any] = {"max_restarts": 0, "max_concurrency": 8}
        if self.workers == 1:
            from lrwidget.ray.worker import SweepWorker

            worker = ray.remote(SweepWorker)
            return worker.options(
                num_cpus=self.num_cpus, num_gpus=self.num_gpus, **options
            ).remote()
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from lrwidget.ray.coordinator import Coordinator, ScalingRequest

        # The coordinator runs on this process's node: on a worker's node it could die with the
        # worker, and nothing would clean up. Ray places an actor that needs no resources through
        # any node, even one that is dying, and then the actor waits for ever; so it needs a small
        # amount of this node's own resource.
        here = ray.get_runtime_context().get_node_id()
        options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(here, soft=False)
        address = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        options["resources"] = {f"node:{address}": 0.0001}
        request = ScalingRequest(self.workers, self.num_cpus, self.num_gpus)
        return ray.remote(Coordinator).options(num_cpus=0, **options).remote(request)

    def _stop_actor(self, actor: Any) -> None:
        import ray

        if self.workers == 1:
            ray.kill(actor)
            return
        # Its ranks call it until it ends, and Ray ends an actor without handles: keep the handle.
        alive = [(a, gone) for a, gone in self._shutting_down if not ray.wait([gone], timeout=0)[0]]
        self._shutting_down = [*alive, (actor, actor.shut_down.remote())]

    def __repr__(self) -> str:
        where = "" if self.address is None else f"{self.address!r}, "
        return f"RayRunner({where}workers={self.workers}, {self._needs()} each)"


def _amount(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} is {value!r}, {a_kind(value)}; expected a number")
    if value < 0:
        raise ValueError(f"{name} is {value!r}; expected 0 or more")
    return float(value)
