"""Tasks from a skorch net with its data: its `train_step`, training split and iterator.

An initialized net is swept with its weights, any other as `initialize` would make it. The step runs
on a shallow copy without callbacks, except skorch's callback for gradient clipping; methods of the
net itself such as `on_batch_begin` are called, except at the end of an epoch.
"""

import copy
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset

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
from lrwidget.adapters.rows import Rows
from lrwidget.restore.attributes import at_initial_rates, put_back_after
from lrwidget.task.rates import apply_rate


class SkorchTask(FrameworkTask):
    """A task from a skorch net.

    Args:
        net: a `skorch.NeuralNet`, initialized or not.
        X, y: the arguments of `net.fit`; X may be a data set with the targets.

    Raises:
        TypeError, ValueError: the data is missing or cannot be swept.
    """

    def __init__(self, net: Any, X: Any, y: Any = None) -> None:  # noqa: N803 - sklearn's name
        if X is None:
            raise TypeError(
                f"{type(net).__name__} is given without data; expected lr_find(net, X, y)"
            )
        self._net = net
        self._data = X, y
        self._private_loaders = PrivateLoaders()
        # Restores the random generators after initializing and splitting.
        with put_back_after([]):
            self._private = private = _without_callbacks(net)
            _warn_of_initializing(private, net.callbacks)
            kept = [type(callback) for _, callback in private.callbacks_]
            own = [one for one in _callbacks(net.callbacks) if type(one) not in kept]
            events = ("on_batch_begin", "on_grad_computed")
            warn_of_left_out(changing(own, events, ("skorch",)), "net", 6)
            private.check_data(X, y)
            self._training, self._valid = private.get_split_datasets(X, y)
            given = private.get_iterator(self._training, training=True)
            self._loader = self._private_loaders.of(given)
            self._given = _length(X)
        names = [*private._modules, *private._criteria]
        parts = {name: getattr(private, name + "_") for name in names}
        self._modules = {n: part for n, part in parts.items() if isinstance(part, nn.Module)}
        trained = {
            n: part for n, part in self._modules.items() if any(True for _ in part.parameters())
        }
        model = next(iter(trained.values())) if len(trained) == 1 else nn.ModuleDict(trained)
        data = StepData(self._loader, self._steps, self._private_loaders.close)
        super().__init__(model, private.optimizer_, data, self._train, evaluate=self._measure)
        self.trained_beside: Sequence[Any] = tuple(self._modules.values())
        others = [name for name in private._optimizers if name != "optimizer"]
        self.other_optimizers: tuple[Any, ...] = tuple(
            getattr(private, name + "_") for name in others
        )

    @contextmanager
    def session(self) -> Iterator[None]:
        """Restore modules, criteria and rates after the block."""
        with ExitStack() as stack:
            stack.enter_context(put_back_after(self._modules.values()))
            stack.callback(self.remember())
            _freeze_as_in_first_epoch(self._private, self._net.callbacks)
            stack.enter_context(at_initial_rates([self.optimizer, *self.other_optimizers]))
            stack.callback(self._private_loaders.close)
            yield

    @property
    def read_from(self) -> Any:
        """The net's training iterator, which knows the rows of X if `train_split` has split it."""
        if self._valid is not None and isinstance(self._loader, DataLoader):
            # Setting an attribute of a DataLoader may raise.
            vars(self._loader)["rows_given"] = self._rows()
        return self._loader

    @property
    def samples_named(self) -> Any:
        """The rows of X, where the net splits it."""
        return getattr(self.read_from, "rows_given", super().samples_named)

    validation_name = "the net's validation split"

    @property
    def validation(self) -> ValidationData | None:
        """The part that the net's `train_split` keeps for validation."""
        return None if self._valid is None else ValidationData([self._valid_loader()])

    def _valid_loader(self) -> Any:
        loader = self._private.get_iterator(self._valid, training=False)
        return self._private_loaders.of(loader)

    def _rows(self) -> Any:
        """Return the rows of X, as an index in the training part is another one."""
        training, valid, name = self._training, self._valid, self.validation_name
        if self._given is not None and len(training) == self._given:
            return self._loader  # all of X; the validation data is other data
        if isinstance(training, Subset) and isinstance(valid, Subset):
            whole = training.dataset
            if whole is valid.dataset and self._given in (None, len(whole)):  # type: ignore[arg-type]
                parts = (training.indices, self._valid_loader(), valid.indices)
                return Rows(whole, self._loader, *parts, name=name)
        return Rows(training, self._loader, None, name=name)

    def held_out_loader(self, data: Any) -> Any:
        """Return batches of `(X, y)` or of a data set, as the net's iterator makes them."""
        private = self._private
        x, y = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
        loader = private.get_iterator(private.get_dataset(x, y), training=False)
        return ValidationData([self._private_loaders.of(loader)])

    @property
    def counters(self) -> list[Any]:
        """The private net."""
        return [self._private]

    def remember(self) -> Callable[[], object]:
        """Save the private net with its history; return a function that restores them."""
        put_back, history = super().remember(), copy.deepcopy(self._private.history_)

        def put_history_back() -> None:
            put_back()
            self._private.history_ = copy.deepcopy(history)

        return put_history_back

    def apply(self, lr: float, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Set `net.lr`, `optimizer__lr` if it is set, and the optimizer of an initialized net."""
        if optimizer is not None:
            super().apply(lr, optimizer)
            return
        net = self._net
        net.lr = lr
        if "optimizer__lr" in vars(net):
            net.optimizer__lr = lr
        if net.initialized_:
            apply_rate(net.optimizer_, lr)

    def _steps(self) -> Iterator[StepBatches]:
        for number, batch in enumerate(self._loader):
            yield (StepBatches if number else _FirstOfPass)([batch])

    def _measure(self, batch: Any) -> torch.Tensor:
        given = batch.batch if isinstance(batch, ValidationBatch) else batch
        result = self._private.validation_step(given)
        loss = result.get("loss") if isinstance(result, Mapping) else None
        return expect_tensor(loss, f"{type(self._private).__name__}.validation_step")

    def _train(self, step: StepBatches) -> torch.Tensor:
        (batch,) = step.batches
        # Without callbacks, the net's own methods are called: they count epochs and batches.
        private = self._private
        if not private.history:
            x, y = self._data
            private.notify("on_train_begin", X=x, y=y)
        if isinstance(step, _FirstOfPass) or not private.history:
            parts = {"dataset_train": self._training, "dataset_valid": self._valid}
            private.notify("on_epoch_begin", **parts)
        private.notify("on_batch_begin", batch=batch, training=True)
        result = private.train_step(batch)
        if isinstance(result, Mapping):
            private.notify("on_batch_end", batch=batch, training=True, **result)
        loss = result.get("loss") if isinstance(result, Mapping) else None
        return expect_tensor(loss, f"{type(self._private).__name__}.train_step").detach()


class _FirstOfPass(StepBatches):
    """The first batch of a pass over the data."""

    __slots__ = ()


def _callbacks(given: Any) -> list[Any]:
    """Return the callbacks that a net was given, without their names."""
    pairs = [] if given in (None, "disable") else list(given)
    return [pair[1] if isinstance(pair, tuple) else pair for pair in pairs]


def _freeze_as_in_first_epoch(private: Any, given: Any) -> None:
    """Freeze and unfreeze the parameters that skorch's callbacks do as `fit` begins."""
    utils = sys.modules["skorch.utils"]
    changes = (utils.freeze_parameter, utils.unfreeze_parameter)
    for one, change in _mapped_in_first_epoch(private, given):
        # Others, such as an Initializer, would change values that are to be kept.
        if change in changes:
            for _, parameter in one.filter_parameters(one.patterns, one.named_parameters(private)):
                change(parameter)


def _warn_of_initializing(private: Any, given: Any) -> None:
    """Warn that callbacks which set weights as `fit` begins take no part in a sweep."""
    utils = sys.modules["skorch.utils"]
    known = (utils.freeze_parameter, utils.unfreeze_parameter, utils.noop)
    names = [
        type(one).__name__
        for one, change in _mapped_in_first_epoch(private, given)
        if change not in known
    ]
    if names:
        warnings.warn(
            f"{' and '.join(names)} of the net takes no part in a sweep, which begins with the "
            "weights as they are, and not with those that `fit` would begin with; initialize the "
            "net, set its weights as the callback does, and sweep that net",
            stacklevel=7,
        )


def _mapped_in_first_epoch(private: Any, given: Any) -> list[tuple[Any, Any]]:
    """Return skorch's callbacks for parameters, each with what it calls as `fit` begins."""
    mapper = sys.modules["skorch.callbacks"].ParamMapper
    before = private.history_
    private.history_ = type(before)()
    private.history_.new_epoch()
    try:
        mappers = [
            copy.copy(callback).initialize()
            for callback in _callbacks(given)
            if not isinstance(callback, type) and isinstance(callback, mapper)
        ]
        return [(one, one.schedule(private)) for one in mappers]
    finally:
        private.history_ = before


def _length(data: Any) -> int | None:
    with suppress(ValueError, TypeError, AttributeError, KeyError):
        return int(sys.modules["skorch.dataset"].get_len(data))
    return None


def _without_callbacks(net: Any) -> Any:
    """Return an initialized copy of a net; it shares the modules of an initialized net."""
    private: Any = object.__new__(type(net))
    vars(private).update(vars(net), history_=sys.modules["skorch.history"].History())
    given = net.callbacks
    if not net.initialized_:
        vars(private)["callbacks"] = "disable"
        private.initialize()
    kept = _callbacks(given)
    clipping = sys.modules["skorch.callbacks"].GradientNormClipping
    clips = [c() if c is clipping else c for c in kept if c is clipping or isinstance(c, clipping)]
    vars(private)["callbacks_"] = [(f"clip_{n}", callback) for n, callback in enumerate(clips)]
    get_loss = private.get_loss

    def loss_of(*args: Any, **keywords: Any) -> torch.Tensor:
        return expect_tensor(get_loss(*args, **keywords), f"{type(net).__name__}.get_loss")

    vars(private)["get_loss"] = loss_of
    return private
