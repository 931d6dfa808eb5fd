"""Measure held-out data with a LightningModule: by `validation_step`, or else `training_step`.

All batches of a measurement go through Lightning's own validation loop, so that hooks, metrics and
means are those of `fit`. A module without a `validation_step` has none of them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from lrwidget.adapters.base import ValidationBatch
from lrwidget.adapters.lightning_losses import (
    logged_loss,
    loss_of_output,
    monitored,
    returned_loss,
)
from lrwidget.adapters.lightning_trainer import callbacks_of
from lrwidget.data.copies import Unharmed
from lrwidget.data.passed_over import rows_of


class LightningMeasure:
    """Computes the loss of held-out data in eval mode.

    Args:
        package: `lightning.pytorch` or `pytorch_lightning`.
        module: the LightningModule.
        given: the user's Trainer, or None.

    Attributes:
        judged_by: in words, the value that was the loss; empty until there is one.
    """

    def __init__(self, package: str, module: Any, given: Any) -> None:
        self.judged_by: str = ""
        self._package = package
        self._module = module
        self._given = given
        base = import_module(package).LightningModule
        kind = type(module)
        self._validates = kind.validation_step is not base.validation_step
        # A step that optimizes manually trains when it is called.
        self._trains_only = not module.automatic_optimization
        self._wanted: list[str] | None = None
        self._unharmed: dict[int, Unharmed] = {}  # by the number of the loader

    @property
    def possible(self) -> bool:
        """Whether the module has a step that computes a loss without training."""
        return self._validates or not self._trains_only

    def __call__(self, trainer: Any, batches: Sequence[Any], loaders: Any, outputs: Any) -> Any:
        """Return the loss of held-out data.

        Args:
            trainer: the private Trainer, set up for the module.
            batches: `ValidationBatch`es of `loaders`, or batches of other data.
            loaders: a CombinedLoader of the validation loaders; None without any.
            outputs: a list to which a callback adds what `validation_step` returns.

        Raises:
            ValueError: no step of the module tells a loss, or it logs several.
        """
        logged: dict[str, Any] = {}
        if self._validates:
            outputs.clear()
            logged = self._validated(trainer, batches, loaders)
            if self._wanted is None:
                pl = import_module(self._package)
                configs = trainer.strategy.lr_scheduler_configs
                callbacks = callbacks_of(pl, self._given, self._module)
                self._wanted = list(monitored(callbacks, configs))
            names = logged_loss(logged, self._wanted)
            if names:
                self.judged_by = f"; judged by the logged {' and '.join(names)}"
                return sum(logged[name] for name in names) / len(names)
            loss = returned_loss(outputs, logged)
            outputs.clear()
            if loss is not None:
                return loss
        if not self._trains_only:
            loss = self._by_training_step(trainer, batches)
            if loss is not None:
                return loss
        raise ValueError(
            f"{type(self._module).__name__} tells no loss on held-out data: its validation_step "
            f"returned none and logged {sorted(logged) or 'nothing'}; return the loss, or "
            "self.log('val_loss', loss)"
        )

    def _validated(self, trainer: Any, batches: Sequence[Any], loaders: Any) -> dict[str, Any]:
        """Run Lightning's validation loop over the batches; return what is logged."""
        loop = trainer.fit_loop.epoch_loop.val_loop
        loop._combined_loader = self._with_only(batches, loaders, trainer)
        loop._max_batches = [len(kept) for kept in loop._combined_loader.flattened]
        connector = trainer._logger_connector
        first = connector._first_loop_iter
        noting = _Noting(connector._callback_metrics)
        with _validating(trainer):
            connector.reset_results()
            connector._callback_metrics = noting
            try:
                loop.run()
            finally:
                connector.reset_results()  # also of an aborted measurement
                connector._callback_metrics = dict(noting)
                connector._first_loop_iter = first
                if loop._data_fetcher is not None:
                    loop._data_fetcher.teardown()
                    loop._data_fetcher = None
        return noting.noted

    def _with_only(self, batches: Sequence[Any], loaders: Any, trainer: Any) -> Any:
        """Return a CombinedLoader of loaders like the given ones that yield the batches."""
        combined = import_module(f"{self._package}.utilities.combined_loader").CombinedLoader
        if loaders is None or not all(isinstance(batch, ValidationBatch) for batch in batches):
            training = trainer.fit_loop._data_source.instance.flattened
            given = self._reading(0, batches)
            return combined(_Kept(training[0] if training else None, given), "sequential")
        kept = [
            _Kept(
                loader,
                self._reading(source, [one.batch for one in batches if one.source == source]),
            )
            for source, loader in enumerate(loaders.flattened)
        ]
        made = combined(loaders.iterables, "sequential")
        made.flattened = kept
        return made

    def _reading(self, source: int, batches: Sequence[Any]) -> "_Reading":
        return _Reading(batches, self._unharmed.setdefault(source, Unharmed()))

    def _by_training_step(self, trainer: Any, batches: Sequence[Any]) -> Any:
        signatures = import_module(f"{self._package}.utilities.signature_utils")
        step = self._module.training_step
        numbered = signatures.is_param_in_hook_signature(step, "batch_idx", min_args=2)
        combined = trainer.fit_loop._data_source.instance
        given = [one.batch if isinstance(one, ValidationBatch) else one for one in batches]
        # Those of a single training loader may be in a list or dict.
        wrapped = len(combined.flattened) == 1 and not any(
            isinstance(one, ValidationBatch) for one in batches
        )
        unflatten = import_module(f"{self._package}.utilities.combined_loader").tree_unflatten
        outputs = []
        with _validating(trainer), _silent(self._module):
            for number, batch in enumerate(self._reading(0, given)):
                whole = unflatten([batch], combined._spec) if wrapped else batch
                moved = self._moved(trainer, whole)
                output = trainer.strategy.training_step(moved, *([number] if numbered else []))
                outputs.append((loss_of_output(output), rows_of(moved)))
        return returned_loss(outputs, {})

    def _moved(self, trainer: Any, batch: Any) -> Any:
        """Return the batch on the device, as Lightning moves and converts it."""
        call = import_module(f"{self._package}.trainer.call")
        batch = trainer.precision_plugin.convert_input(batch)
        batch = self._module._on_before_batch_transfer(batch, dataloader_idx=0)
        return call._call_strategy_hook(trainer, "batch_to_device", batch, dataloader_idx=0)


class CombinedBatches:
    """The batches of a CombinedLoader, each made of a batch of every one of its loaders."""

    def __init__(self, combined: Any) -> None:
        self._combined = combined

    def __iter__(self) -> Iterator[Any]:
        for batch, *_ in self._combined:
            yield batch

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["_combined"], name)


class _Reading:
    """Batches that are read in each measurement, whatever a module writes to them."""

    def __init__(self, batches: Sequence[Any], unharmed: Unharmed) -> None:
        self._batches = batches
        self._unharmed = unharmed

    def __iter__(self) -> Iterator[Any]:
        return self._unharmed(self._batches)

    def __len__(self) -> int:
        return len(self._batches)


class _Kept:
    """In place of a loader: yields batches that were read from it before."""

    # Lightning would set the epoch of a sampler, which is the user's.
    sampler = batch_sampler = None

    def __init__(self, loader: Any, batches: _Reading) -> None:
        self._loader = loader
        self._batches = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self).get("_loader"), name)


class _Noting(dict[str, Any]):
    """Callback metrics that note which of them are updated."""

    def __init__(self, metrics: dict[str, Any]) -> None:
        super().__init__(metrics)
        self.noted: dict[str, Any] = {}

    def update(self, *metrics: Any, **more: Any) -> None:
        super().update(*metrics, **more)
        self.noted.update(*metrics, **more)


def validation_loaders(package: str, trainer: Any, given: Any) -> Any:
    """Return a CombinedLoader of a module's or datamodule's validation loaders; None without any.

    Args:
        package: `lightning.pytorch` or `pytorch_lightning`.
        trainer: the private Trainer, set up for the module.
        given: the user's Trainer, or None: its last fit may have had loaders.
    """
    connectors = import_module(f"{package}.trainer.connectors.data_connector")
    source = trainer.fit_loop.epoch_loop.val_loop._data_source
    held: Any = connectors._request_dataloader(source) if source.is_defined() else None
    if held is None and given is not None:
        held = given.val_dataloaders
    if held is None:
        return None
    combined = import_module(f"{package}.utilities.combined_loader").CombinedLoader
    validating = import_module(f"{package}.trainer.states").RunningStage.VALIDATING
    prepare = trainer._data_connector._prepare_dataloader
    made = combined(held, "sequential")
    if isinstance(held, combined):
        made = combined(held.iterables, held._mode)
    made.flattened = [prepare(one, shuffle=False, mode=validating) for one in made.flattened]
    return made


def progress_of(loop: Any) -> Iterator[Any]:
    """Yield the objects that count the steps of a loop and of the loops in it."""
    waiting, seen = [loop], {id(loop)}
    while waiting:
        for value in list(vars(waiting.pop()).values()):
            kinds = {base.__name__ for base in type(value).__mro__}
            if id(value) in seen or not kinds & {"_Loop", "_BaseProgress"}:
                continue
            seen.add(id(value))
            waiting.append(value)
            if "_BaseProgress" in kinds:
                yield value


@contextmanager
def _validating(trainer: Any) -> Iterator[None]:
    stage = trainer.state.stage
    trainer.validating = True
    try:
        yield
    finally:
        trainer.state.stage = stage


@contextmanager
def _silent(module: Any) -> Iterator[None]:
    """Pass over what the module logs in the block, outside of Lightning's loops."""

    def log(*_: Any, **__: Any) -> None:
        pass

    own = vars(module)
    held = {name: own[name] for name in ("log", "log_dict") if name in own}
    own.update(log=log, log_dict=log)
    try:
        yield
    finally:
        for name in ("log", "log_dict"):
            own.pop(name)
        own.update(held)
