"""Tasks from a Hugging Face Trainer, with its step, precision, clipping and collation.

The step runs on a shallow copy of the Trainer with an empty callback handler and a copied
accelerator, so that the given Trainer, possibly of a subclass, does not change.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from importlib import import_module
from inspect import isfunction
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from lrwidget.adapters.base import (
    FrameworkTask,
    PrivateLoaders,
    StepBatches,
    StepData,
    ValidationBatch,
    ValidationData,
    expect_tensor,
)
from lrwidget.adapters.left_out import changing, warn_of_left_out
from lrwidget.adapters.transformers_plan import give_scheduler, plan_training
from lrwidget.backup.interrupts import uninterrupted
from lrwidget.backup.objects import ObjectState
from lrwidget.backup.origin import library_of
from lrwidget.process_group.processes import remove_ddp_hooks, restored_weights
from lrwidget.restore.attributes import put_back_after, same_state_objects
from lrwidget.task.rates import apply_rate

# Their Trainers look for evaluation data in `eval_dataset`.
LIBRARIES = ("transformers", "sentence_transformers", "trl")
# Callbacks of theirs that move a reference model, or a weight in the loss, from step to step.
_PART_OF_TRAINING = {"SyncRefModelCallback", "SpladeRegularizerWeightSchedulerCallback"}


class TransformersTask(FrameworkTask):
    """A task from a Hugging Face Trainer, with the optimizer that it has or would create.

    Args:
        trainer: a `transformers.Trainer` with a training data set.

    Raises:
        TypeError, ValueError: the Trainer cannot be swept.
    """

    data: Any
    scaler: Any

    def __init__(self, trainer: Any) -> None:
        if trainer.train_dataset is None:
            raise TypeError("the Trainer has no train_dataset; give Trainer(train_dataset=...)")
        if trainer.args.n_gpu > 1:
            raise ValueError(
                f"the Trainer runs on {trainer.args.n_gpu} devices from one process; start one "
                f"process for each: torchrun --nproc-per-node {trainer.args.n_gpu} script.py"
            )
        if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
            raise ValueError(
                "the Trainer uses DeepSpeed or FSDP, which spread a model over processes; "
                "run the sweep without"
            )
        own = trainer.callback_handler.callbacks
        events = ("on_step_begin", "on_substep_end", "on_pre_optimizer_step")
        warn_of_left_out(changing(own, events, LIBRARIES), "Trainer", 6)
        self._trainer = trainer
        self._private: Any = None
        self._model: Any = None
        self._loader: Any = None
        self._passes = self._steps_of_epoch = 0
        self._clears_all = False
        self._callbacks = [one for one in own if _is_part_of_training(one)]
        self._private_loaders = PrivateLoaders()
        optimizer = trainer.optimizer
        if optimizer is None:
            creating = copy.copy(trainer)
            with _objects_put_back(trainer):
                creating.create_optimizer()
            optimizer = creating.optimizer
        # After `train` the optimizer is wrapped by Accelerate.
        self._inner: torch.optim.Optimizer = getattr(optimizer, "optimizer", optimizer)
        super().__init__(
            trainer.model,
            self._inner,
            StepData(None, self._steps),
            self._train,
            trainer.args.device,
            evaluate=self._measure,
        )
        # Further modules of the step, such as a loss or a teacher, are restored, too.
        self.loss_fn: nn.ModuleList = nn.ModuleList(_other_modules(trainer, *self._callbacks))
        # trl leaves its reference model in train mode, and its parameters trainable.
        pretrained = import_module("transformers").PreTrainedModel
        others = [module for module in self.loss_fn if isinstance(module, pretrained)]
        self.teachers: Sequence[nn.Module] = others

    @property
    def batch_size(self) -> int | None:
        """Samples per batch."""
        return int(self._trainer._train_batch_size)

    @property
    def samples_named(self) -> Any:
        """The train_dataset, unless the Trainer reads in a way of its own."""
        data, own = self._trainer.train_dataset, self._trainer.get_train_dataloader
        usual = import_module("transformers").Trainer.get_train_dataloader
        reads_it = getattr(own, "__func__", None) is usual
        return DataLoader(data) if reads_it and hasattr(data, "__len__") else None

    @contextmanager
    def session(self) -> Iterator[None]:
        """Prepare model, optimizer and loader as `train` does; restore them after the block."""
        trainer = self._trainer
        with ExitStack() as stack:
            gradient_state = trainer.accelerator.gradient_state
            stack.enter_context(_objects_put_back(trainer))
            drop_unchanged = stack.enter_context(restored_weights(trainer.model))
            modules = [trainer.model, self.loss_fn]
            stack.enter_context(
                put_back_after(modules, [trainer, gradient_state, *self._callbacks])
            )
            stack.enter_context(same_state_objects(self._inner))
            self._clears_all = any(map(_clears_gradients, trainer.callback_handler.callbacks))
            self._private = private = _without_callbacks(trainer)
            stack.callback(self._clean_up)
            _prepare_model(private)
            self._loader = self._private_loaders.of(private.get_train_dataloader())
            self._model, private.optimizer = private.accelerator.prepare(private.model, self._inner)
            drop_unchanged()
            self._sync_before_backward(private.accelerator)
            private.model_wrapped = self._model
            self._steps_of_epoch = plan_training(private, self._loader)
            give_scheduler(private, self._inner)
            self._call_back("on_train_begin")
            self.scaler = private.accelerator.scaler
            self.data = StepData(self._loader, self._steps, self._private_loaders.close)
            yield

    validation_name = "eval_dataset"

    @property
    def validation(self) -> ValidationData | None:
        """The Trainer's `eval_dataset`; if it is a dict of data sets, all of them."""
        private = self._private
        given = private.eval_dataset
        if isinstance(given, dict):  # a DatasetDict is one
            return self._judged_by(list(given)) if given else None
        if given is not None:
            return self._judged_by([given])
        if not _overrides(private, "get_eval_dataloader"):
            return None
        # It may have data of its own, or none.
        try:
            loader = private.get_eval_dataloader(None)
        except (ValueError, TypeError, AttributeError):
            return None
        return None if loader is None else self._of([loader])

    def held_out_loader(self, data: Any) -> Any:
        """Return batches of a data set, or of a dict of them, collated as `eval_dataset`."""
        if isinstance(data, dict) and data:
            return self._judged_by(list(data.values()))
        if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
            return self._judged_by([data])
        return super().held_out_loader(data)

    def _judged_by(self, given: list[Any]) -> ValidationData:
        """Return the batches of data sets, or of names in `eval_dataset`."""
        return self._of([self._private.get_eval_dataloader(one) for one in given])

    def _of(self, loaders: list[Any]) -> ValidationData:
        return ValidationData([self._private_loaders.of(loader) for loader in loaders])

    @property
    def counters(self) -> list[Any]:
        """The private Trainer with what it counts."""
        private = self._private
        accelerator, scheduler = private.accelerator, private.lr_scheduler
        shared = [accelerator, accelerator.gradient_state]
        shared += [] if scheduler is None else [scheduler]
        return [private, private.state, private.control, *shared]

    def apply(self, lr: float, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Set `TrainingArguments.learning_rate`, and the rate of an existing optimizer."""
        if optimizer is not None:
            super().apply(lr, optimizer)
            return
        self._trainer.args.learning_rate = lr
        if self._trainer.optimizer is not None:
            apply_rate(self._inner, lr)

    def _sync_before_backward(self, accelerator: Any) -> None:
        backward = accelerator.backward

        def synchronized(loss: torch.Tensor, **options: Any) -> None:
            if accelerator.sync_gradients:
                self.sync_ranks()
            backward(loss, **options)

        accelerator.backward = synchronized

    def _clean_up(self) -> None:
        remove_ddp_hooks(self._model)
        self._private_loaders.close()
        self._private = self._model = self._loader = self.scaler = None
        self._passes = 0
        self.data = StepData(None, self._steps)

    def _steps(self) -> Iterator[StepBatches]:
        private = self._private
        if hasattr(self._loader, "set_epoch"):
            self._loader.set_epoch(self._passes)
        # Accelerate's `set_epoch` does not reach the sampler in a BatchSamplerShard.
        shared: Any = getattr(getattr(self._loader, "batch_sampler", None), "batch_sampler", None)
        if hasattr(shared, "set_epoch"):
            shared.set_epoch(self._passes)
        self._passes += 1
        batches = iter(self._loader)
        size, device = private.args.gradient_accumulation_steps, private.args.device
        while True:
            group, items = private.get_batch_samples(batches, size, device)
            if not group:
                return
            yield StepBatches([group, items])

    def _measure(self, batch: Any) -> torch.Tensor:
        """Return the loss of a batch as `evaluate` computes it."""
        private, model = self._private, self._model
        inputs = batch.batch if isinstance(batch, ValidationBatch) else batch
        loss, *_ = private.prediction_step(model, inputs, prediction_loss_only=True)
        if loss is None:  # it sees no labels
            inputs = private._prepare_inputs(inputs)
            with private.compute_loss_context_manager():
                loss = private.compute_loss(model, inputs)
        return expect_tensor(loss, f"{type(private).__name__}.prediction_step").mean()

    def _train(self, step: StepBatches) -> torch.Tensor:
        """Train on the batches of one update as the Trainer's loop does."""
        private, model = self._private, self._model
        group, items = step.batches
        private.current_gradient_accumulation_steps = len(group)
        self._call_back("on_step_begin")
        losses = []
        for number, inputs in enumerate(group, start=1):
            last = number == len(group)
            private.accelerator.gradient_state._set_sync_gradients(last)
            with nullcontext() if last else private.accelerator.no_sync(model):
                losses.append(private.training_step(model, inputs, items))
        _clip(private, model)
        private.optimizer.step()
        model.zero_grad()
        if self._clears_all:
            private.optimizer.zero_grad()
        private.state.global_step += 1
        if self._steps_of_epoch:
            private.state.epoch = private.state.global_step / self._steps_of_epoch
        self._call_back("on_step_end")
        # Each loss is already divided by the number of batches, or by the items of all batches.
        return torch.stack(losses).sum()

    def _call_back(self, event: str) -> None:
        private = self._private
        for one in self._callbacks:
            getattr(one, event)(private.args, private.state, private.control, model=self._model)


@contextmanager
def _objects_put_back(trainer: Any) -> Iterator[None]:
    """Restore what methods of a subclass change in the Trainer's objects, such as its data set."""
    held = ObjectState([vars(trainer)], as_data=True)
    restore: list[Callable[[], Any]] = [held.restore, held.close]
    try:
        yield
    finally:
        try:
            uninterrupted(restore)
        finally:
            uninterrupted(restore)


def _other_modules(trainer: Any, *callbacks: Any) -> list[nn.Module]:
    found: list[nn.Module] = []
    for name, value in chain.from_iterable(vars(one).items() for one in (trainer, *callbacks)):
        if name in ("model", "model_wrapped") or value is trainer.model:
            continue
        values = value.values() if isinstance(value, dict) else [value]
        found += [module for module in values if isinstance(module, nn.Module)]
    return found


def _is_part_of_training(callback: Any) -> bool:
    return any(cls.__name__ in _PART_OF_TRAINING for cls in type(callback).__mro__)


def _overrides(trainer: Any, name: str) -> bool:
    """Return whether the user's subclass has a method of its own; libraries' are theirs."""
    owner = next(cls for cls in type(trainer).__mro__ if name in vars(cls))
    return library_of(owner) not in LIBRARIES


def _clip(private: Any, model: Any) -> None:
    """Clip the gradients with the Trainer's methods, which a subclass may override."""
    most = private.args.max_grad_norm
    wanted = most is not None and most > 0
    if not hasattr(private, "_clip_grad_norm"):  # early releases of version 5 clip in their loop
        if wanted:
            private.accelerator.clip_grad_norm_(model.parameters(), most)
        return
    norm = private._clip_grad_norm(model) if wanted else None
    if hasattr(private, "_get_grad_norm"):
        private._get_grad_norm(model, grad_norm=norm)


def _clears_gradients(callback: Any) -> bool:
    """Return whether a callback calls `zero_grad`; callbacks do not run in a sweep.

    The Trainer clears only the gradients of the model; sentence-transformers clears those of a loss
    with parameters in a callback. Gradients that nothing clears accumulate in training, and
    therefore in the sweep.
    """
    functions = (f for cls in type(callback).__mro__ for f in vars(cls).values())
    return any(
        "zero_grad" in function.__code__.co_names for function in functions if isfunction(function)
    )


def _without_callbacks(trainer: Any) -> Any:
    """Return a shallow copy that can step without changing the given Trainer."""
    callbacks = import_module("transformers.trainer_callback")
    private = copy.copy(trainer)
    private.callback_handler = callbacks.CallbackHandler(
        # It only decides when to log and save, for the loop of `train`, which does not run.
        [callbacks.DefaultFlowCallback],
        trainer.model,
        getattr(trainer, "processing_class", None),
        None,
        None,
    )
    private.control = callbacks.TrainerControl()
    private.state = callbacks.TrainerState()  # `train` begins with a new one
    private.is_in_train = True
    private.accelerator = accelerator = copy.copy(trainer.accelerator)
    for name in ("_models", "_optimizers", "_schedulers", "_dataloaders"):
        setattr(accelerator, name, [])
    accelerator.scaler = copy.deepcopy(accelerator.scaler)
    return private


def _prepare_model(private: Any) -> None:
    """Enable what `train` enables in the model: checkpointed activations, noisy embeddings."""
    args, model = private.args, private.model
    if getattr(args, "activation_checkpointing", False):
        options = dict(args.activation_checkpointing_kwargs or {})
        every, offload = options.pop("every_n_layers", 1), options.pop("offload", False)
        model.activation_checkpointing_enable(
            activation_checkpointing_kwargs=options or None, every_n_layers=every, offload=offload
        )
    elif getattr(args, "gradient_checkpointing", False):
        model.gradient_checkpointing_enable(args.gradient_checkpointing_kwargs)
    if private.neftune_noise_alpha is not None:
        neftune = import_module("transformers.integrations.neftune")
        neftune.activate_neftune(model, private.neftune_noise_alpha, private.accelerator)
