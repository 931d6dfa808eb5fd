"""Where classes and functions come from, by the names of their modules: nothing is imported."""

import sys
from typing import Any


def module_of(kind: type) -> str:
    """Return the name of the module of a class; "" if the class makes something else of it."""
    module: Any = kind.__module__  # some classes make a property of it
    return module if isinstance(module, str) else ""


def library_of(kind: type) -> str:
    """Return the name of the package of a class: "torch" for `torch.nn.Linear`."""
    return root_of(module_of(kind))


def root_of(module: Any) -> str:
    """Return the name of the package of a module, given by its name."""
    return str(module).partition(".")[0]


def is_from_a_library(module: Any) -> bool:
    """Return whether the module with this name belongs to torch, numpy or Python."""
    root = root_of(module)
    return root in ("torch", "numpy", "builtins") or root in sys.stdlib_module_names


def is_users(module: Any) -> bool:
    """Return whether the module with this name is the user's own, of no installed package."""
    if module == "__main__":  # of a notebook it may have the file of its kernel
        return True
    if is_from_a_library(module) or root_of(module) == "lrwidget":
        return False
    place = getattr(sys.modules.get(str(module)), "__file__", None)
    return place is None or not any(name in place for name in _INSTALLED)


# The folders of packages; the second one in the Python of Debian and in Colab.
_INSTALLED = ("site-packages", "dist-packages")
