"""Tasks from a LightningModule with a Trainer or its data; the step is Lightning's own.

A private Trainer has the settings of the given one, but no callbacks, loggers and checkpoints. It
is set up as `fit` does, and its training loop is advanced one batch at a time. The given Trainer is
not changed. In several processes the private one has its strategy and distributed sampler.
"""

import copy
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.utils.data import Dataset, IterableDataset

from lrwidget.adapters.base import (
    FrameworkTask,
    OptimizerStandIn,
    PrivateLoaders,
    StepBatches,
    StepData,
    ValidationData,
    samplers_of,
)
from lrwidget.adapters.lightning_apply import set_rate
from lrwidget.adapters.lightning_schedulers import SteppedAside
from lrwidget.adapters.lightning_set_up import (
    begin_epoch,
    begin_training,
    end_epoch,
    objects_put_back,
    set_up,
)
from lrwidget.adapters.lightning_strategy import refuse_processes
from lrwidget.adapters.lightning_traces import quiet, unpatched_loaders
from lrwidget.adapters.lightning_trainer import (
    end_fetching,
    has_loader,
    package_of,
    private_trainer,
    refuse_without_parameters,
    request_loaders,
    warn_of_left_out_callbacks,
)
from lrwidget.adapters.lightning_validation import (
    CombinedBatches,
    LightningMeasure,
    progress_of,
    validation_loaders,
)
from lrwidget.adapters.lightning_watch import Watch
from lrwidget.data.batches import Exhausted, loader_generators
from lrwidget.process_group.processes import remove_ddp_hooks, restored_weights
from lrwidget.restore.attributes import at_initial_rates, put_back_after
from lrwidget.task.loss_value import mean_of
from lrwidget.task.rates import apply_rate
from lrwidget.text.articles import a_kind

# Batches in a row without a loss; a module skips fewer on purpose.
MAX_SKIPPED = 64


class LightningTask(FrameworkTask):
    """A task from a LightningModule; its optimizer is what `configure_optimizers` returns.

    Args:
        module: the LightningModule, or what `torch.compile` made of it.
        trainer: a Trainer, for precision, accumulation, clipping, device and limits; without one,
            Lightning's defaults.
        data: a training loader, or a LightningDataModule; without one, the module's own
            `train_dataloader`.
        datamodule: a LightningDataModule, where `data` is none.

    Raises:
        TypeError, ValueError: an argument is missing or cannot be swept.
    """

    def __init__(
        self, module: Any, trainer: Any = None, data: Any = None, datamodule: Any = None
    ) -> None:
        compiled, module = module, getattr(module, "_orig_mod", module)
        # `lightning.pytorch` and `pytorch_lightning` are two packages with the same content.
        self._package = package_of(module)
        pl = sys.modules[self._package]
        if trainer is not None and not isinstance(trainer, pl.Trainer):
            raise TypeError(f"trainer is {a_kind(trainer)}; expected a {self._package}.Trainer")
        if datamodule is None and isinstance(data, pl.LightningDataModule):
            datamodule, data = data, None
        if datamodule is not None and not isinstance(datamodule, pl.LightningDataModule):
            raise TypeError(
                f"datamodule is {a_kind(datamodule)}; expected a LightningDataModule, "
                "or a loader as data="
            )
        if data is not None and datamodule is not None:
            raise TypeError("data and datamodule are both given; expected one of them")
        if trainer is not None and datamodule is None and data is None:
            datamodule = trainer.datamodule
        if data is None and datamodule is None and not has_loader(pl, module):
            raise TypeError(
                f"{type(module).__name__} has no train_dataloader; give data=train_loader or "
                "datamodule=..."
            )
        if isinstance(data, Dataset) and not isinstance(data, IterableDataset):
            raise TypeError(
                f"data is {a_kind(data)}, which Lightning would read one sample a step; "
                "give a loader: data=DataLoader(data, batch_size=32, shuffle=True), or with "
                "batch_size=None where it holds batches"
            )
        refuse_processes(self._package, trainer)
        warn_of_left_out_callbacks(pl, trainer, module)
        self._module = module
        self._compiled = None if compiled is module else compiled
        self._trainer = trainer
        self._given_data = data
        self._datamodule = datamodule
        self._private: Any = None
        self._private_loaders = PrivateLoaders()
        self._watch = Watch(pl.Callback, self)
        self._modes: list[tuple[Any, bool]] = []
        self._aside: SteppedAside
        self._beside: tuple[Any, ...] = ()
        self._passes = 0
        self._loaders: Any = None  # of the first pass
        self._request: Callable[[], Any] | None = None  # loads those of a later one
        self._begun = False  # the hooks before the first batch have been called
        self._pass_begun_early = False  # the pass began in `_train`, before the engine asked for it
        self._cut_short = False
        refuse_without_parameters(module)
        trainable = [p for p in module.parameters() if p.requires_grad]
        # The optimizer is created in a session; until then the task has this one.
        self._stand_in = OptimizerStandIn([(trainable, 0.0)])
        self._measure = LightningMeasure(self._package, module, trainer)
        super().__init__(
            module,
            self._stand_in,
            StepData(data, self._steps),
            self._train,
            evaluate=self._measure_one if self._measure.possible else None,
        )
        self._validation_loaders: Any = None
        self.evaluate_all: Callable[[Sequence[Any]], Any] | None = (
            self._measure_all if self._measure.possible else None
        )
        self.optimizer_is_ours = True
        if trainer is not None and trainer.world_size > 1:
            self._join_processes()

    @contextmanager
    def session(self) -> Iterator[None]:
        """Set up the module on a private Trainer as `fit` does; restore it after the block."""
        with ExitStack() as stack:
            stack.enter_context(objects_put_back(self, self._given_data, self._datamodule))
            drop_unchanged = stack.enter_context(restored_weights(self._module, always=True))
            stack.enter_context(put_back_after([self._module]))
            if self._compiled is not None:
                import_module(f"{self._package}.utilities.compile").from_compiled(self._compiled)
            stack.enter_context(quiet(self._package))
            stack.enter_context(unpatched_loaders())
            folder = stack.enter_context(TemporaryDirectory())
            trainer = private_trainer(self._package, self._trainer, self._watch.callback, folder)
            self._private = trainer
            stack.callback(self._clean_up)
            self._set_up(trainer, stack)
            drop_unchanged()
            stack.enter_context(at_initial_rates(trainer.strategy.optimizers))
            self.optimizer: torch.optim.Optimizer = trainer.strategy.optimizers[0]
            self.other_optimizers: tuple[Any, ...] = tuple(trainer.strategy.optimizers[1:])
            self.scaler: Any = getattr(trainer.precision_plugin, "scaler", None)
            self.device: torch.device = trainer.strategy.root_device
            self._modes = [(m, m.training) for m in self._module.modules()]
            yield

    def apply(self, lr: float, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Set `lr` or `learning_rate` in the module, the datamodule and the hparams of both.

        Raises:
            ValueError: none of them has either name.
        """
        if optimizer is not None:
            super().apply(lr, optimizer)
            return
        set_rate(self._module, self._datamodule, lr)
        if self._trainer is not None:  # after `fit` a Trainer keeps its optimizers
            for fitted in self._trainer.optimizers[:1]:
                apply_rate(fitted, lr)

    @property
    def loaders(self) -> list[Any]:
        """The training loaders, and in a session the attributes of the datamodule."""
        return [*super().loaders, *self._beside]

    # -- the private Trainer --------------------------------------------------------------------

    def _join_processes(self) -> None:
        """Initialize the process group, as `fit` would, unless done; `fit` uses it later."""
        with quiet(self._package), put_back_after([]):
            private_trainer(
                self._package, self._trainer, self._watch.callback
            ).strategy.setup_environment()

    def _set_up(self, trainer: Any, stack: ExitStack) -> None:
        """Set up the Trainer as `Trainer.fit` does before its first batch."""
        datamodule = copy.copy(self._datamodule)  # its attributes are set
        self._beside = () if datamodule is None else (vars(datamodule),)
        set_up(
            self._package,
            trainer,
            self._module,
            data=self._given_data,
            datamodule=datamodule,
            prepare=partial(self._prepare_loaders, trainer, stack),
        )
        # The sweep sets the rate, not a scheduler.
        self._aside = SteppedAside(trainer)
        stack.callback(self._aside.close)

    def _prepare_loaders(self, trainer: Any, stack: ExitStack) -> None:
        """Request the loaders without reading: the engine reads after its backup."""
        source = trainer.fit_loop._data_source
        given = source.instance

        def request() -> Any:
            source.instance = given
            loaders = request_loaders(self._package, trainer, self._private_loaders.of)
            samplers = [s for loader in loaders.flattened for s in samplers_of(loader)]
            generators = [g for loader in loaders.flattened for g in loader_generators(loader)]
            stack.enter_context(put_back_after([], samplers, generators))
            return loaders

        self._request, self._loaders = request, request()
        loaders = self._loaders.flattened
        self.data = StepData(loaders[0] if loaders else None, self._steps, self._end_pass)
        self.data.loader = loaders

    def _clean_up(self) -> None:
        trainer, self._private = self._private, None
        remove_ddp_hooks(trainer.strategy.model)
        self._modes, self._passes = [], 0
        self._begun = self._pass_begun_early = self._cut_short = False
        self._beside = ()
        self._request = self._loaders = None
        self.optimizer, self.other_optimizers, self.scaler = self._stand_in, (), None
        self.data: Any = StepData(self._given_data, self._steps)
        end_fetching(trainer)
        self._private_loaders.close()
        self._watch.losses.clear()

    def _end_pass(self) -> None:
        end_fetching(self._private)
        self._private_loaders.close()

    # -- held-out data --------------------------------------------------------------------------

    validation_name = "val_dataloader"
    tells_loss_if = "give the module a validation_step that returns or logs its loss"
    counted: tuple[str, ...] = ("_passes", "_begun", "_pass_begun_early", "_cut_short", "_modes")

    @property
    def read_from(self) -> Any:
        """The private copy of the training loader, in a session; nothing if there are several."""
        loaders = self.data.loader
        if isinstance(loaders, list):
            return loaders[0] if len(loaders) == 1 else CombinedLoader()
        return loaders

    @property
    def validation(self) -> ValidationData | None:
        """The `val_dataloader` of the datamodule or module, or what the Trainer was fitted with."""
        self._request = None  # trials read the loaders that samples are held out of
        self._validation_loaders = found = validation_loaders(
            self._package, self._private, self._trainer
        )
        if found is None or not found.flattened:
            return None
        found.flattened = [self._private_loaders.of(loader) for loader in found.flattened]
        if found._mode != "sequential":
            self._validation_loaders = type(found)(CombinedBatches(found), "sequential")
        return ValidationData(self._validation_loaders.flattened)

    @property
    def counters(self) -> list[Any]:
        """The progress of the private Trainer's loops, and its schedulers."""
        loop = self._private.fit_loop
        return [loop.epoch_loop, *progress_of(loop), *self._aside.counters]

    def _measure_all(self, batches: Sequence[Any]) -> Any:
        self._begin_training()
        try:
            outputs = self._watch.returned
            return self._measure(self._private, batches, self._validation_loaders, outputs)
        finally:
            self.judged_by: str = self._measure.judged_by

    def _measure_one(self, batch: Any) -> Any:
        return self._measure_all([batch])

    # -- one step -------------------------------------------------------------------------------

    def _steps(self) -> Iterator[StepBatches]:
        """Yield an empty step while the pass lasts: Lightning's loop reads the batches itself."""
        if not self._pass_begun_early or self._pass_is_over():
            self._begin_pass()
        self._pass_begun_early = False
        this = self._passes
        while self._passes == this and not self._pass_is_over():
            yield StepBatches()

    def _begin_pass(self) -> None:
        trainer, loop = self._private, self._private.fit_loop
        set_epoch = import_module(f"{self._package}.loops.fit_loop")._set_sampler_epoch
        if self._passes:
            end_epoch(trainer)
            if self._request is not None and loop._should_reload_train_dl:
                self._end_pass()
                self._request()
                loop.setup_data()
        elif loop._data_source.instance is not self._loaders or loop._data_fetcher is None:
            loop._data_source.instance, loop._combined_loader = self._loaders, None
            loop.setup_data()  # this begins the first pass
        else:
            iter(loop._data_fetcher)
        self._begin_training()
        for loader in loop._combined_loader.flattened:
            set_epoch(loader, self._passes)
        if self._passes:
            begin_epoch(self._package, trainer)
            iter(loop._data_fetcher)
        self._passes += 1
        self._cut_short = False
        loop.epoch_loop.batch_progress.reset_on_run()

    def _begin_training(self) -> None:
        """Call the hooks before the first batch, unless done; they see the modes of `fit`."""
        if self._begun:
            return
        self._begun = True
        held = [(module, module.training) for module in self._module.modules()]
        for module, training in self._modes:
            module.training = training
        begin_training(self._package, self._private)
        self._modes = [(module, module.training) for module in self._module.modules()]
        for module, training in held:
            module.training = training

    def _pass_is_over(self) -> bool:
        return bool(self._cut_short or self._private.fit_loop._data_fetcher.done)

    def _train(self, _step: StepBatches) -> torch.Tensor:
        for module, training in self._modes:  # as in `fit`, a submodule keeps its eval mode
            module.training = training
        self._modes = []
        trainer, losses = self._private, self._watch.losses
        losses.clear()
        automatic = self._module.automatic_optimization
        skipped = 0
        while True:
            stepped = trainer.global_step
            skipped += self._train_batches(trainer.accumulate_grad_batches if automatic else 1)
            if self._cut_short and automatic and trainer.global_step == stepped:
                losses.clear()  # the step was not completed
            if losses:
                break
            # Lightning skips a batch whose loss is None, and so do we, across the end of a pass.
            # An optimizer can step without a loss only in manual optimization.
            if skipped >= MAX_SKIPPED or (not automatic and trainer.global_step > stepped):
                raise TypeError(
                    f"{type(self._module).__name__}.training_step returned no loss for "
                    f"{skipped if skipped > 1 else 'a'} batch{'es in a row' if skipped > 1 else ''}"
                    "; the sweep records one for each step: return it, also in manual optimization"
                )
            if self._pass_is_over():
                self._begin_pass()
                self._pass_begun_early = True
                if self._pass_is_over():  # the loader can be read only once
                    raise Exhausted
        # Lightning divides the loss by the number of accumulated batches.
        mean = mean_of(losses)
        return mean * trainer.accumulate_grad_batches if automatic else mean

    def _train_batches(self, size: int) -> int:
        """Train on the batches of one optimizer step; return their number."""
        loop = self._private.fit_loop
        for number in range(1, 1 + size):
            if number > 1:
                self.sync_ranks()  # the ranks wait for each other at the beginning of each batch
            try:
                loop.epoch_loop.advance(loop._data_fetcher)
            except StopIteration:  # on_train_batch_start returned -1: skip the rest of the pass
                self._cut_short = True
            if self._pass_is_over():
                break
        return number


class CombinedLoader:
    """In place of several training loaders, whose batches are combined."""
