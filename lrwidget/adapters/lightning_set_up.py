"""Go through the beginning of Lightning's `fit`, and put back what the module's hooks change there.

The hooks up to `on_fit_start` run before the engine has a backup, those from `on_train_start` on
with the first pass over the data, as in `fit`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from lrwidget.backup.backup import Backup
from lrwidget.backup.interrupts import finish, uninterrupted
from lrwidget.backup.objects import ObjectState
from lrwidget.backup.variables import Variables
from lrwidget.restore.captured import Captured
from lrwidget.restore.loaders_and_also import trained_by
from lrwidget.task.task import TrainingTask


@contextmanager
def objects_put_back(task: TrainingTask, data: Any, datamodule: Any) -> Iterator[None]:
    """Restore objects that the hooks of a set-up may change, when the block ends.

    Args:
        task: the task, not set up yet; the values of its weights are left to others.
        data: the given loaders, or None.
        datamodule: the given datamodule, or None.
    """
    beside = [getattr(data, "iterables", data)]  # of a CombinedLoader, which is not gone through
    beside += [] if datamodule is None else [vars(datamodule)]
    captured = Captured(task)
    tensors = (*task.model.parameters(), *task.model.buffers())
    kept: list[Backup | ObjectState | Variables] = [
        Backup([task.model], "device", without=set(map(id, tensors)), leave=captured.data),
        ObjectState(beside, leave=trained_by(task), as_data=True),
        captured.variables(),
        captured.variables_of_loaders(),
    ]
    restore: list[Callable[[], Any]] = [
        lambda: finish([one.restore for one in kept]),
        lambda: finish([one.close for one in kept]),
    ]
    try:
        yield
    finally:
        try:
            uninterrupted(restore)
        finally:
            uninterrupted(restore)


def set_up(
    package: str,
    trainer: Any,
    module: Any,
    *,
    data: Any,
    datamodule: Any,
    prepare: Callable[[], object],
) -> None:
    """Set up a Trainer as `Trainer.fit` does, up to `on_fit_start`.

    Args:
        package: `lightning.pytorch` or `pytorch_lightning`.
        trainer: the private Trainer.
        module: the LightningModule.
        data: its training loaders, or None.
        datamodule: a datamodule that may be changed, or None.
        prepare: called to prepare the loaders, at the end, or when a hook asks for them.

    Raises:
        ValueError: the module has no optimizer.
    """
    states = import_module(f"{package}.trainer.states")
    call = import_module(f"{package}.trainer.call")
    trainer.state.fn = states.TrainerFn.FITTING
    trainer.state.status = states.TrainerStatus.RUNNING
    trainer.training = True
    loops = import_module(f"{package}.loops.utilities")
    trainer.fit_loop.min_epochs, trainer.fit_loop.max_epochs = loops._parse_loop_limits(
        trainer.min_steps, trainer.max_steps, trainer.min_epochs, trainer.max_epochs, trainer
    )
    trainer._data_connector.attach_data(module, train_dataloaders=data, datamodule=datamodule)
    trainer.strategy.connect(module)
    trainer.strategy.setup_environment()
    trainer._data_connector.prepare_data()
    with _loaders_once(trainer, prepare):
        call._call_setup_hook(trainer)
        call._call_configure_model(trainer)
        trainer._logger_connector.reset_results()
        trainer._logger_connector.reset_metrics()
        trainer.strategy.setup(trainer)
        _refuse_without_optimizer(trainer, module)
        call._call_lightning_module_hook(trainer, "on_fit_start")
    trainer.fit_loop.epoch_loop.reset()
    trainer.fit_loop.epoch_loop._results.to(device=module.device)


@contextmanager
def _loaders_once(trainer: Any, prepare: Callable[[], object]) -> Iterator[None]:
    """Prepare the loaders when the block ends, as in `fit`, or when a hook in it asks for them.

    It asks by `setup_data` of the loop, as `estimated_stepping_batches` does.
    """
    waiting = [prepare]

    def once() -> None:
        if waiting:
            waiting.pop()()

    trainer.fit_loop.setup_data = once
    try:
        yield
    finally:
        del trainer.fit_loop.setup_data
    once()


def _refuse_without_optimizer(trainer: Any, module: Any) -> None:
    # Lightning has one without groups in place of none.
    if not any(one.param_groups for one in trainer.strategy.optimizers):
        raise ValueError(
            f"{type(module).__name__}.configure_optimizers returned no optimizer; "
            "the sweep sets the learning rate of one"
        )


def begin_training(package: str, trainer: Any) -> None:
    """Call the hooks before the first batch."""
    call = import_module(f"{package}.trainer.call")
    call._call_lightning_module_hook(trainer, "on_train_start")
    begin_epoch(package, trainer)


def end_epoch(trainer: Any) -> None:
    """Count an epoch as ended, without the hook at its end."""
    progress = trainer.fit_loop.epoch_progress
    progress.increment_processed()
    progress.increment_completed()


def begin_epoch(package: str, trainer: Any) -> None:
    """Begin an epoch, with the hook at its beginning."""
    progress = trainer.fit_loop.epoch_progress
    progress.increment_ready()
    call = import_module(f"{package}.trainer.call")
    call._call_lightning_module_hook(trainer, "on_train_epoch_start")
    progress.increment_started()
