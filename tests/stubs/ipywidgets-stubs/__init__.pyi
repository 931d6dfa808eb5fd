# ipywidgets has no type information, and pyright does not read its sources while it verifies ours.
from typing import Any

from traitlets import HasTraits

class Widget(HasTraits):
    def __getattr__(self, name: str) -> Any: ...

class DOMWidget(Widget): ...

def __getattr__(name: str) -> Any: ...
