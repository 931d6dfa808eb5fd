"""A StopIteration of the user's code, which Python would report of a generator inside."""

from pathlib import Path

import torch

_NOT_THE_USERS = (str(Path(__file__).parents[1]), *torch.__path__)


def ended_iterator(error: StopIteration, raised_by: str) -> RuntimeError:
    """Return the error to raise from a StopIteration of the user's code.

    Args:
        error: what was raised.
        raised_by: what raised it, where its traceback does not show a function.
    """
    return RuntimeError(ended_in_words(error, raised_by))


def ended_in_words(error: StopIteration, raised_by: str) -> str:
    """Return the message of that error."""
    at, where = error.__traceback__, raised_by
    while at is not None:
        code = at.tb_frame.f_code
        if not code.co_filename.startswith(_NOT_THE_USERS):
            where = f"{code.co_qualname} ({Path(code.co_filename).name}, line {at.tb_lineno})"
        at = at.tb_next
    return (
        f"{where} raised StopIteration: an iterator that it reads with next() has ended, since a "
        "sweep may take more steps than a pass over the data; make it endless, by beginning it "
        "again where it ends: next(it, None), and iter(...) anew where that is None"
    )
