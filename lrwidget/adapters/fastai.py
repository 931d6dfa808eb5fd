"""Tasks from a fastai Learner: its `one_batch`, on a shallow copy with the callbacks of a step.

In fastai, precision, accumulation, clipping and mixup are callbacks, which the copy keeps. It has
no others, such as recorders, trackers, loggers and schedulers.
"""

import copy
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from lrwidget.adapters.base import (
    FrameworkTask,
    OptimizerStandIn,
    PrivateLoaders,
    StepBatches,
    StepData,
    ValidationBatch,
    ValidationData,
)
from lrwidget.adapters.fastai_loaders import indexed, is_fastais, part_of
from lrwidget.adapters.left_out import changing, warn_of_left_out
from lrwidget.backup.origin import library_of, module_of
from lrwidget.restore.attributes import put_back_after
from lrwidget.task.loss_value import mean_of

# The callbacks that belong to a training step, by module; their subclasses belong to it, too.
STEP_CALLBACKS: dict[str, tuple[str, ...]] = {
    "fastai.callback.core": ("TrainEvalCallback",),
    "fastai.learner": ("CastToTensor",),
    "fastai.callback.fp16": ("MixedPrecision", "ModelToHalf", "NonNativeMixedPrecision"),
    "fastai.callback.training": ("GradientAccumulation", "GradientClip", "BnFreeze"),
    "fastai.callback.mixup": ("MixHandler",),
    "fastai.callback.rnn": ("ModelResetter", "RNNCallback", "RNNRegularizer"),
    "fastai.callback.channelslast": ("ChannelsLast",),
}

# The events before a step, and those of them that exist for changing gradients.
BEFORE_STEP = ("before_batch", "after_pred", "after_loss", "before_backward")
OF_GRADIENTS = ("after_backward", "before_step")


class FastaiTask(FrameworkTask):
    """A task from a fastai Learner, with a copy of the optimizer that it has or would create.

    Args:
        learn: a `fastai.learner.Learner`.

    Raises:
        TypeError, ValueError: the Learner cannot be swept.
    """

    data: Any
    optimizer: torch.optim.Optimizer
    scaler: Any
    device: torch.device

    def __init__(self, learn: Any) -> None:
        _warn_of_left_out(learn)
        self._learn = learn
        self._private: Any = None
        self._watch: Any = None
        self._loader: Any = learn.dls.train
        self._reading: Iterator[Any] = iter(())
        self._private_loaders = PrivateLoaders()
        # The engine seeds it if a seed is given.
        self._seed = torch.Generator()
        self._passes = 0
        # A Learner creates its optimizer in `fit`; until then the task has this one.
        self._stand_in = OptimizerStandIn([(list(learn.model.parameters()), 0.0)])
        super().__init__(
            learn.model, self._stand_in, self._data(), self._train, evaluate=self._measure
        )

    @contextmanager
    def session(self) -> Iterator[None]:
        """Begin a fit on a private Learner, and restore everything after the block."""
        learn = self._learn
        with ExitStack() as stack:
            self._loader = loader = self._private_loaders.of(learn.dls.train)
            loss = learn.loss_func
            inner = getattr(loss, "func", None)  # fastai's losses wrap torch's
            modules = [m for m in (learn.model, loss, inner) if isinstance(m, nn.Module)]
            # A copied callback shares the containers of the given one.
            stack.enter_context(put_back_after(modules, [loader, *learn.cbs]))
            stack.enter_context(_same_order(loader))
            if is_fastais(loader):
                loader._get_iterator = partial(iter, loader)
            for other in self._valid():
                stack.enter_context(put_back_after([], [other]))
                stack.enter_context(_same_order(other))
            stack.callback(self._clean_up)
            self._private = private = self._private_learner()
            self._begin(private)
            groups = zip(private.opt.param_lists, private.opt.hypers, strict=True)
            self.optimizer = OptimizerStandIn((list(p), float(h["lr"])) for p, h in groups)
            self.device = next(private.model.parameters()).device
            scalers = (getattr(callback, "scaler", None) for callback in private.cbs)
            self.scaler = next((scaler for scaler in scalers if scaler is not None), None)
            self.trained_beside: Sequence[Any] = (private.opt, *modules)
            yield

    validation_name = "learn.dls.valid"

    @property
    def read_from(self) -> Any:
        """The Learner's training loader, which may be fastai's or any other."""
        if not is_fastais(self._loader):
            return self._loader
        return indexed(self._loader, next(iter(self._valid()), None))

    @property
    def samples_named(self) -> Any:
        """The rows of what fastai has split, or the loader if it is torch's."""
        return getattr(self.read_from, "rows_given", super().samples_named)

    @property
    def validation(self) -> ValidationData | None:
        """The Learner's validation data."""
        loaders = self._valid()
        return ValidationData(list(map(part_of, loaders))) if loaders else None

    def _valid(self) -> list[Any]:
        loaders = list(self._learn.dls.loaders)[1:2]
        return [loader for loader in loaders if _may_have_batches(loader)]

    def held_out_loader(self, data: Any) -> Any:
        """Return the batches of a fastai loader, or of a data set."""
        if is_fastais(data):
            return ValidationData([part_of(data)])
        return super().held_out_loader(data)

    @property
    def counters(self) -> list[Any]:
        """The private Learner and its callbacks."""
        return [self._private, *self._private.cbs]

    def apply(self, lr: float, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Set `learn.lr`, which `fit` trains with; a slice keeps its ratio and begins at `lr`."""
        if optimizer is not None:
            super().apply(lr, optimizer)
            return
        learn = self._learn
        held = learn.lr
        rate: Any = lr
        if isinstance(held, slice) and held.start:
            rate = slice(lr, lr * held.stop / held.start)
        learn.lr = rate
        # `create_opt` would use a rate in `opt_func` instead.
        function = learn.opt_func
        if isinstance(function, partial) and "lr" in function.keywords:
            keywords = {**function.keywords, "lr": rate}
            learn.opt_func = partial(function.func, *function.args, **keywords)

    # -- the private Learner --------------------------------------------------------------------

    def _private_learner(self) -> Any:
        learn = self._learn
        private: Any = object.__new__(type(learn))
        private.__setstate__(learn.__getstate__())  # shares everything but the lock
        for callback in learn.cbs:  # each is also an attribute of the Learner
            vars(private).pop(callback.name, None)
        private.cbs = type(learn.cbs)()
        private.logger, private.create_mbar = _no_logger, False
        callback_types = _step_callbacks()
        for callback in learn.cbs:
            if isinstance(callback, callback_types):
                private.add_cb(copy.copy(callback))
        self._watch = _watcher()
        private.add_cb(self._watch)
        parameters = {id(p): p for p in learn.model.parameters()}
        if learn.opt is not None:
            private.opt = copy.deepcopy(learn.opt, parameters)  # over the same parameters
            return private
        if not callable(learn.opt_func):  # a built optimizer, whose state create_opt would clear
            private.opt_func = copy.deepcopy(learn.opt_func, parameters)
        private.create_opt()
        return private

    def _begin(self, private: Any) -> None:
        """Prepare the Learner as `Learner.fit` does before its first batch."""
        if private.wd is not None:
            private.opt.set_hypers(wd=private.wd)
        private.opt.set_hypers(lr=private.lr)
        private.n_epoch, private.epoch, private.dl = 1, 0, self._loader
        try:
            private.n_iter = len(self._loader)
        except TypeError:
            private.n_iter = 1
        self._seed = torch.Generator()
        self._passes = 0
        self.data = self._data()
        for event in ("before_fit", "before_epoch", "before_train"):
            private(event)

    def _clean_up(self) -> None:
        if self._watch is not None and self._watch.in_forward:
            # An exception in the model left fastai's autocast context open.
            contexts = [getattr(callback, "autocast", None) for callback in self._private.cbs]
            for context in filter(None, contexts):
                context.__exit__(None, None, None)
        self._private = self._watch = None
        self._end_pass()
        self._loader = self._learn.dls.train
        self.optimizer, self.data, self.scaler = self._stand_in, self._data(), None
        self.trained_beside = ()

    # -- one step -------------------------------------------------------------------------------

    def _data(self) -> StepData:
        data = StepData(self._loader, self._steps, self._end_pass)
        data.batch_size, data.generator = getattr(self._loader, "bs", data.batch_size), self._seed
        return data

    def _end_pass(self) -> None:
        close = getattr(self._reading, "close", None)
        if close is not None:
            close()  # its workers end with it
        self._reading = iter(())
        self._private_loaders.close()

    def _steps(self) -> Iterator[StepBatches]:
        loader = self._loader
        seeded = self._seed.initial_seed() != torch.Generator().initial_seed()
        if seeded and self._passes == 0 and hasattr(loader, "rng"):
            loader.rng = random.Random(self._seed.initial_seed())
        self._passes += 1
        self._reading = self._pass()
        while True:
            try:
                first = next(self._reading)
            except StopIteration:
                return
            yield StepBatches(self._until_step(first))

    def _pass(self) -> Iterator[Any]:
        """Begin a pass; a refinement counts its batches, and skips those that were read."""
        if self._private.train_iter:  # of a further epoch, where a language model forgets
            self._private("after_train")  # mixup takes its loss back
            self._private("before_train")
        loader = self._loader
        passes: Iterator[Any] = loader._get_iterator() if is_fastais(loader) else iter(loader)
        return passes

    def _until_step(self, first: Any) -> Iterator[Any]:
        """Yield batches until the step has enough samples, across the end of a pass."""
        wanted = self._samples_in_step()
        batch, have = first, 0
        while True:
            have += self._samples(batch) if wanted else 1
            yield batch
            if have >= wanted:
                return
            try:
                batch = next(self._reading)
            except StopIteration:
                self._reading = self._pass()
                batch = next(self._reading)

    def _samples_in_step(self) -> int:
        accumulation = getattr(self._private, "gradient_accumulation", None)
        return 0 if accumulation is None else int(accumulation.n_acc)

    def _samples(self, batch: Any) -> int:
        inputs = getattr(self._private.dls, "n_inp", 1 if len(batch) == 1 else len(batch) - 1)
        return int(sys.modules["fastai.torch_core"].find_bs(batch[inputs:]))

    def _measure(self, batch: Any) -> torch.Tensor:
        """Return the loss of a batch as in fastai's validation, without a backward pass."""
        private, watch = self._private, self._watch
        given = batch.batch if isinstance(batch, ValidationBatch) else batch
        watch.losses.clear()
        private.training = False
        try:
            private.one_batch(0, given)
        finally:
            private.training = True
        if not watch.losses:
            raise TypeError("the Learner computed no loss; a batch of held-out data needs a target")
        loss: torch.Tensor = watch.losses[-1]
        return loss

    def _train(self, step: StepBatches) -> torch.Tensor:
        private, watch = self._private, self._watch
        private.opt.set_hyper("lr", [float(group["lr"]) for group in self.optimizer.param_groups])
        watch.losses.clear()
        watch.stepped = False
        for batch in step.batches:
            private.one_batch(private.train_iter % private.n_iter, batch)
        if not watch.losses:
            raise TypeError("the Learner computed no loss; a batch needs a target")
        if watch.stepped:
            self.optimizer.step()
        return mean_of(watch.losses)


def _watcher() -> Any:
    """Return a callback that records the losses and whether the optimizer has stepped."""
    base: Any = sys.modules["fastai.callback.core"].Callback

    class Watcher(base):  # type: ignore[misc]
        order = -100  # before accumulation and loss scaling

        def __init__(self) -> None:
            self.losses: list[torch.Tensor] = []
            self.in_forward = self.stepped = self.cancelled = False

        def before_batch(self) -> None:
            self.in_forward = True

        def after_loss(self) -> None:
            self.in_forward = False
            self.losses.append(self.learn.loss.detach().reshape(()))

        def after_cancel_step(self) -> None:
            self.cancelled = True

        def after_step(self) -> None:
            self.stepped, self.cancelled = not self.cancelled, False

    return Watcher()


def _step_callbacks() -> tuple[type, ...]:
    found = [
        getattr(sys.modules[module], name, None)
        for module, names in STEP_CALLBACKS.items()
        if module in sys.modules
        for name in names
    ]
    return tuple(kind for kind in found if kind is not None)


def _warn_of_left_out(learn: Any) -> None:
    """Warn of callbacks that change what is trained and take no part in a sweep."""
    known = _step_callbacks()
    kinds = [type(one) for one in learn.cbs if not isinstance(one, known)]
    own = [kind for kind in kinds if library_of(kind) != "fastai"]
    changes = changing(own, BEFORE_STEP, ("fastai", "fastcore"))
    # Of fastai's own only those of a GAN change what is trained.
    names = [
        kind.__name__
        for kind in kinds
        if module_of(kind) == "fastai.vision.gan"
        or (kind in own and any(hasattr(kind, event) for event in OF_GRADIENTS))
        or kind.__name__ in changes
    ]
    warn_of_left_out(names, "Learner", 7)


def _may_have_batches(loader: Any) -> bool:
    """Return False for a loader whose length is known to be 0; it may be fastai's or torch's."""
    try:
        return len(loader) > 0
    except TypeError:
        return True


@contextmanager
def _same_order(loader: Any) -> Iterator[None]:
    """Restore the Python generator with which a fastai loader shuffles."""
    generator = getattr(loader, "rng", None)
    if not isinstance(generator, random.Random):
        yield
        return
    state = generator.getstate()
    try:
        yield
    finally:
        generator.setstate(state)


def _no_logger(*_: Any, **__: Any) -> None:
    """Replace the Learner's logger and do nothing."""
