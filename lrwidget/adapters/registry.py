"""Which adapter an object of another framework needs: one table, with a row for each framework."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from lrwidget.process_group.processes import process_count
from lrwidget.task.task import TrainingTask
from lrwidget.text.articles import a, a_kind


@dataclass(frozen=True)
class Adapter:
    """A row of the table: how a framework's objects are recognised, and the task made of them.

    Args:
        form: what the user gives, as error messages list it.
        modules: the modules that may define the framework's class. None of them is imported here.
        class_name: the class; an instance of it has the adapter's form.
        task: the class of the task, as "module:class"; imported when a task is made.
        takes: the arguments of `lr_find` besides the model, each with its name in the task.
        keywords: further arguments of the task.
        found_in: the argument of `lr_find` that is the instance.
        is_module: whether the object is a module that counts as a plain model if an optimizer or a
            loss is given.
        in_several_processes: whether the ranks of a process group can sweep it together.
        arrange: makes the task's arguments from those of `lr_find`, if names do not determine them.
    """

    form: str
    modules: tuple[str, ...]
    class_name: str
    task: str
    takes: Mapping[str, str] = field(default_factory=dict)
    keywords: tuple[str, ...] = ()
    found_in: str = "model"
    is_module: bool = False
    in_several_processes: bool = True
    arrange: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None

    def recognises(self, given: Mapping[str, Any]) -> bool:
        """Whether `lr_find` was given an object of this framework."""
        classes = (getattr(sys.modules.get(name), self.class_name, None) for name in self.modules)
        thing = given[self.found_in]
        thing = getattr(thing, "_orig_mod", thing)  # of torch.compile
        return any(cls is not None and isinstance(thing, cls) for cls in classes)

    def make(self, given: Mapping[str, Any], options: Mapping[str, Any]) -> TrainingTask:
        """The task; `given` holds the arguments of `lr_find`, `options` its other keywords."""
        module, _, name = self.task.partition(":")
        task: type[TrainingTask] = getattr(import_module(module), name)
        if self.arrange is not None:
            return task(given["model"], **self.arrange({**given, **options}))
        arguments = {parameter: given[name] for name, parameter in self.takes.items()}
        return task(given["model"], **arguments, **options)


def _skorch_data(given: Mapping[str, Any]) -> dict[str, Any]:
    """X and y, from the positions or keywords that they were given in."""
    data = given["data"]
    given_x = [v for v in (given["optimizer"], given.get("X"), data) if v is not None]
    given_y = [v for v in (given["loss_fn"], given.get("y")) if v is not None]
    if len(given_x) > 1 or len(given_y) > 1:
        raise TypeError("the data are given twice; expected lr_find(net, X, y)")
    x, y = given_x[0] if given_x else None, given_y[0] if given_y else None
    if data is not None and isinstance(data, tuple) and len(data) == 2 and y is None:
        x, y = data
    return {"X": x, "y": y}


ADAPTERS = (
    Adapter(
        form="a LightningModule (with trainer= or data)",
        modules=("lightning.pytorch", "pytorch_lightning"),
        class_name="LightningModule",
        task="lrwidget.adapters.lightning:LightningTask",
        takes={"data": "data"},
        keywords=("trainer", "datamodule"),
        is_module=True,
    ),
    Adapter(
        form="a transformers.Trainer",
        modules=("transformers.trainer",),
        class_name="Trainer",
        task="lrwidget.adapters.transformers:TransformersTask",
    ),
    Adapter(
        form="a fastai Learner",
        modules=("fastai.learner",),
        class_name="Learner",
        task="lrwidget.adapters.fastai:FastaiTask",
        in_several_processes=False,
    ),
    Adapter(
        form="a skorch net (with X and y)",
        modules=("skorch.net",),
        class_name="NeuralNet",
        task="lrwidget.adapters.skorch:SkorchTask",
        takes={"optimizer": "X", "loss_fn": "y", "data": "X"},
        keywords=("X", "y"),
        in_several_processes=False,
        arrange=_skorch_data,
    ),
    Adapter(
        form="a model, optimizer and loader prepared by Accelerate",
        modules=("accelerate.optimizer",),
        class_name="AcceleratedOptimizer",
        task="lrwidget.adapters.accelerate:AccelerateTask",
        takes={"optimizer": "optimizer", "loss_fn": "loss_fn", "data": "loader"},
        keywords=("clip_grad_norm",),
        found_in="optimizer",
    ),
)

_FORMS = [
    "a torch.nn.Module (with optimizer, loss_fn and data)",
    "a TrainingTask",
    *(adapter.form for adapter in ADAPTERS),
]
ACCEPTED = f"{', '.join(_FORMS[:-1])}, or {_FORMS[-1]}"


def adapt(
    model: Any, optimizer: Any, loss_fn: Any, data: Any, options: Mapping[str, Any]
) -> TrainingTask | None:
    """The task made from another framework's object; None where it is none.

    Args:
        model, optimizer, loss_fn, data: as `lr_find` was given them.
        options: its other keywords, without those of the sweep.

    Raises:
        TypeError, ValueError: what such an object does not take, or lacks.
    """
    given = {"model": model, "optimizer": optimizer, "loss_fn": loss_fn, "data": data}
    adapter = next((row for row in ADAPTERS if row.recognises(given)), None)
    if adapter is None:
        _refuse_wrapped_net(model)
        return None
    if adapter.is_module and not (optimizer is None and loss_fn is None):
        return None
    keywords = adapter.keywords
    beside = [name for name in options if name not in keywords]
    beside += [
        name
        for name, value in given.items()
        if value is not None and name != "model" and name not in adapter.takes
    ]
    if beside:
        takes = f"{', '.join(keywords)} and the options" if keywords else "only the options"
        raise TypeError(
            f"{', '.join(beside)} beside {a_kind(model)}, which carries what a step "
            f"needs; beside it you may give {takes} of a sweep"
        )
    if not adapter.in_several_processes and process_count() > 1:
        raise ValueError(
            f"this is one of {process_count()} processes, and {a_kind(model)} is swept in "
            "one only: its step would not train them together. Wrap its model in "
            "DistributedDataParallel and give that, with its optimizer, loss and loader"
        )
    return adapter.make(given, options)


def _refuse_wrapped_net(model: Any) -> None:
    """Refuse a Pipeline or a search of scikit-learn with a skorch net in it.

    Raises:
        TypeError: it is one; the message says what to give.
    """
    net = getattr(sys.modules.get("skorch.net"), "NeuralNet", None)
    if net is None:
        return
    name = type(model).__name__
    steps = getattr(model, "steps", None)  # of a Pipeline
    last = steps[-1] if isinstance(steps, list) and steps else None
    if isinstance(last, tuple) and isinstance(last[-1], net):
        raise TypeError(
            f"{a(name)} is no skorch net; give the net in it, and the data as its other steps make "
            "them: net = pipeline[-1], X = pipeline[:-1].fit_transform(X, y)"
        )
    for inside in ("estimator", "base_estimator", "regressor"):  # of searches and the like
        inner = getattr(model, inside, None)
        if isinstance(inner, net):
            raise TypeError(f"{a(name)} is no skorch net; give the net in it: {name}.{inside}")
        if inner is not None:
            _refuse_wrapped_net(inner)
