"""Find a learning rate live in a notebook: watch the loss, drag a marker, use the number.

>>> from lrwidget import LRFinderWidget
>>> w = LRFinderWidget(model, optimizer, loss_fn, train_loader)  # show it, press Start
>>> w.lr  # the chosen rate

Without a notebook: ``records = lr_find(model, optimizer, loss_fn, train_loader)``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from lrwidget.version import __version__ as __version__

if TYPE_CHECKING:
    from lrwidget.curve.suggest import suggest
    from lrwidget.find import check_lrs, lr_find, refine
    from lrwidget.records.records import LRRecords
    from lrwidget.task.task import TrainingTask
    from lrwidget.widget.widget import LRFinderWidget

__all__ = [
    "LRFinderWidget",
    "LRRecords",
    "TrainingTask",
    "check_lrs",
    "lr_find",
    "refine",
    "suggest",
]

# Loaded when first asked for (PEP 562): the import itself costs nothing, and the engine can be used
# where no Jupyter package is wanted, in a script or on a server.
_MODULES = {
    "LRFinderWidget": "lrwidget.widget.widget",
    "LRRecords": "lrwidget.records.records",
    "TrainingTask": "lrwidget.task.task",
    "check_lrs": "lrwidget.find",
    "lr_find": "lrwidget.find",
    "refine": "lrwidget.find",
    "suggest": "lrwidget.curve.suggest",
}


def __getattr__(name: str) -> object:
    try:
        module = _MODULES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value: object = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
