"""Switch a model between training and evaluation as a loop does, also where that does more."""

from collections.abc import Sequence
from contextlib import suppress
from inspect import signature
from typing import Any

from torch import nn

Present = Sequence[tuple[nn.Module, bool]]


class Modes:
    """The modes of a model's modules.

    Args:
        model: the model that is trained.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._own_switches = _own_switches(model)

    def present(self) -> Present:
        """Return the modules, and whether each is in training mode."""
        return [(module, module.training) for module in self._model.modules()]

    def begin(self) -> None:
        """Begin training; where some modules are in evaluation mode and some not, they stay so."""
        if not any(module.training for module in self._model.modules()):
            self._model.train()
        elif self._own_switches:
            self._switch(self.present(), exactly=False)

    def evaluate(self) -> None:
        """Go into evaluation mode."""
        self._model.eval()

    def go_back(self, modes: Present) -> None:
        """Go back to what `present` has returned."""
        self._switch(modes, exactly=True)

    def _switch(self, modes: Present, *, exactly: bool) -> None:
        """Call `train` if it may do more than set flags; then set all, or only those in eval."""
        if self._own_switches and modes[0][1]:
            with suppress(NotImplementedError):  # of an exported program, which has no modes
                self._model.train()
        wanted = [(m, training and (exactly or m.training)) for m, training in modes]
        for module, training in wanted:
            if module.training != training and module in self._own_switches:
                module.train(training)
        for module, training in wanted:
            module.training = training


def _own_switches(model: nn.Module) -> list[nn.Module]:
    """Return the modules whose `train` or `eval` may do more than set flags.

    There are none if a `train` among them is no switch, which is True by default: it may train the
    model.
    """
    found = []
    for module in model.modules():
        usual = type(module).train is nn.Module.train and type(module).eval is nn.Module.eval
        if not usual or not vars(module).keys().isdisjoint(("train", "eval")):
            found.append(module)
    return found if all(_is_switch(module.train) for module in found) else []


def _is_switch(train: Any) -> bool:
    first = next(iter(signature(train).parameters.values()), None) if callable(train) else None
    return first is not None and (first.default is True or first.kind is first.VAR_POSITIONAL)
