"""Lets the page of the API say of each trait what its `help` says."""

from __future__ import annotations

import ast
from typing import Any

import griffe


class TraitHelp(griffe.Extension):
    """Takes the argument `help` of an attribute's value for its docstring."""

    def on_attribute(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Read the value of one attribute, which is a call such as `Number(0.9, help="...")`."""
        if attr.docstring is None and "help=" in str(attr.value):
            for part in ast.walk(ast.parse(str(attr.value))):
                if isinstance(part, ast.keyword) and part.arg == "help":
                    attr.docstring = griffe.Docstring(ast.literal_eval(part.value), parent=attr)
