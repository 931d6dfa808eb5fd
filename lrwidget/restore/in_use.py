"""The error of a model that another sweep trains. Does not import torch, as the widget's page."""

from collections.abc import Callable


class InUseError(RuntimeError):
    """The model is being swept.

    Attributes:
        stop: ends the sweep that holds the model after its current step, as its widget's Stop does;
            None where nothing but its own caller can end it.
        when_over: takes a function, which is called once that sweep has ended.
    """

    def __init__(
        self,
        message: str,
        stop: Callable[[], None] | None = None,
        when_over: Callable[[Callable[[], None]], None] = lambda _: None,
    ) -> None:
        super().__init__(message)
        self.stop = stop
        self.when_over = when_over
