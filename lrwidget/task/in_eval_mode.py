"""Tell of a model that is in evaluation mode in parts, which a loop may switch to training."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from lrwidget.text.lists import first_of


def partly_in_eval_mode(model: nn.Module, optimizers: Sequence[Any]) -> str:
    """Return a warning about a model in evaluation mode with parts that are not, or ''.

    None where what is in evaluation mode is not trained: then its modes are meant.
    """
    parts = dict(model.named_modules())
    training = [name for name, part in parts.items() if part.training]
    if model.training or not training:
        return ""
    trained = {id(p) for one in optimizers for group in one.param_groups for p in group["params"]}
    if not any(
        parameter.requires_grad and id(parameter) in trained
        for part in parts.values()
        if not part.training
        for parameter in part.parameters(recurse=False)
    ):
        return ""
    # The outermost of them.
    shown = [name for name in training if not parts[name.rpartition(".")[0]].training]
    return (
        "the model is in eval mode, and of its parts only these are not: "
        f"{first_of(shown, 3)}. It is swept as it stands, so without dropout and with fixed "
        "statistics elsewhere; if your loop calls model.train(), call it before the sweep too"
    )
