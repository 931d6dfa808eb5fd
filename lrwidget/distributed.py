"""Sweeps on the workers of a Ray cluster."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrwidget.ray.runner import RayRunner

__all__ = ["RayRunner"]


def __getattr__(name: str) -> object:
    if name != "RayRunner":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lrwidget.ray.runner import RayRunner

    return RayRunner
