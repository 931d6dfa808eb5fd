"""Exports the chosen rate to a variable of the notebook."""

import builtins
import keyword
import numbers
import sys
import unicodedata
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from lrwidget.backup.origin import library_of
from lrwidget.text.articles import a_kind

QUEUED = "A cell that is already queued may still have the old value."


@dataclass(frozen=True, slots=True)
class Exported:
    """The variable and the value that were written."""

    name: str
    value: float

    def __str__(self) -> str:
        return f"{self.name} = {self.value!r}. {QUEUED}"


def export_rate(name: str, value: float | None) -> Exported:
    """Write `value` as a plain float into the variable `name` of the running notebook.

    The name is only ever used as a key of the notebook's namespace, never as code.

    Raises:
        TypeError: the name is not text.
        ValueError: the name is not valid in Python code, or would hide a builtin; there is no rate
            yet; or the variable exists and holds anything but a number.
        RuntimeError: this is not an IPython session.
    """
    from IPython import get_ipython

    name = validate_name(name)
    if value is None:
        raise ValueError(
            f"there is no learning rate to write to {name} yet: the active run has suggested none; "
            "run a sweep, or pick a rate: w.lr = 1e-3"
        )
    shell = get_ipython()
    # Solara has a stand-in for each page, whose namespace no code of the app sees.
    if shell is None or library_of(type(shell)) == "solara":
        marimo = sys.modules.get("marimo")
        if marimo is not None and marimo.running_in_notebook():
            raise RuntimeError(
                f"in marimo a variable belongs to one cell, so {name} cannot be written from here; "
                f"use {name} = w.lr instead, in a cell of its own, which runs again after each "
                "pick where w is mo.ui.anywidget(...)"
            )
        raise RuntimeError(
            "this is not an IPython session, so there is no notebook namespace to write to; "
            f"use {name} = w.lr instead"
        )
    return write(shell.user_ns, name, float(value))


def write(namespace: MutableMapping[str, Any], name: str, value: float) -> Exported:
    """Write a validated name, unless that would overwrite a value that is not a number.

    A number or None may be an earlier rate. Any other value (a model, a function, a module) may
    have taken work, and a click on a button must not destroy it.
    """
    if name in namespace:
        held = namespace[name]
        is_number = isinstance(held, numbers.Real) and not isinstance(held, bool)
        if held is not None and not is_number:
            raise ValueError(
                f"{name} already holds {a_kind(held)}, not a number; "
                f"choose another name, or `del {name}` first"
            )
    namespace[name] = value
    return Exported(name, value)


def validate_name(name: object) -> str:
    """Return `name` as Python reads it (NFKC), if an assignment to it is harmless.

    Raises:
        TypeError, ValueError: as in `export_rate`.
    """
    if not isinstance(name, str):
        raise TypeError(f"the variable name is {name!r}; expected text such as 'lr'")
    # Python normalises identifiers this way: else "ｌｒ" would make a variable no cell can read,
    # and "ｉｆ" would pass as a name.
    folded = unicodedata.normalize("NFKC", name.strip())
    if not folded.isidentifier():
        raise ValueError(
            f"{shown(name)} is not a variable name; expected letters, digits and _, "
            "not beginning with a digit, such as lr"
        )
    if keyword.iskeyword(folded):
        raise ValueError(f"{folded} is a keyword of Python; choose another name, such as lr")
    if folded.startswith("__") and folded.endswith("__"):
        raise ValueError(
            f"{shown(folded)} is a name with a meaning of its own in Python; "
            "choose another one, such as lr"
        )
    if hasattr(builtins, folded):
        raise ValueError(
            f"{folded} is a builtin of Python, which a variable would hide; "
            "choose another name, such as lr"
        )
    return folded


def shown(name: str) -> str:
    """Return the name in quotes, shortened to fit in a sentence."""
    return repr(name if len(name) <= 40 else name[:40] + "…")
