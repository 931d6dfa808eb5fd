"""Trait types for a widget whose values change while a sweep runs in another thread.

ipywidgets assumes one thread. This widget has up to four: the kernel's main thread, a subshell's
thread that may deliver the page's changes (ipykernel 7.1 to 7.3), the sweep's and the sender's.

- The sweep's and the sender's threads neither set nor send traits. They publish values, and the
  widget's `_catch_up` sets the traits on another thread: on the kernel's loop, inside `wait()`, and
  whenever such a trait is read, so that `while w.state == "running": sleep(0.1)` ends although the
  cell blocks the kernel's loop.
- The widget's `_lock`, an RLock, serialises all code that sets traits. The background threads never
  take it themselves, so a thread that holds it may wait for them.
"""

import math
from collections.abc import Sequence
from typing import Any, Never, SupportsFloat, TypeVar

import traitlets

from lrwidget.stream.threads import in_background
from lrwidget.validation import number

# What a trait gives, and what it can be set to, as type checkers see it.
G = TypeVar("G")
S = TypeVar("S")


class Locked(traitlets.TraitType[G, S]):
    """A trait that is set by one thread at a time."""

    def set(self, obj: Any, value: Any) -> None:
        """Set the trait and run its observers under the widget's lock."""
        with obj._lock:
            super().set(obj, value)

    # Traitlets calls these two methods several times for each value from the page.

    def _validate(self, obj: Any, value: Any) -> Any:
        return value if obj._is_validated(self.name, value) else super()._validate(obj, value)

    def _cross_validate(self, obj: Any, value: Any) -> Any:
        return value if obj._is_validated(self.name, value) else super()._cross_validate(obj, value)


class Live(Locked[G, S]):
    """A trait that the program may set; it is brought up to date before it is read."""

    def get(self, obj: Any, cls: Any = None) -> Any:
        """Catch up, unless on a background thread, then return the value."""
        if not in_background():
            obj._catch_up()
        return super().get(obj, cls)

    def move(self, obj: Any, value: Any) -> None:
        """Set the trait from the program."""
        self.set(obj, value)


class Published(Live[G, Never]):
    """A trait that only the widget sets; users may read, observe and link it."""

    read_only = True


class LiveAny(Published[Any], traitlets.Any):
    """A value of any type."""


class LiveText(Published[G], traitlets.Unicode[G, Never]):
    """Text or None."""


class LiveInt(Published[int], traitlets.Int[int, Never]):
    """A count."""


class LiveFlag(Published[bool], traitlets.Bool[bool, Never]):
    """A boolean."""


class LockedText(Locked[str, str], traitlets.Unicode[str, str]):
    """Text that the user sets."""


class Number(Locked[G, S]):
    """A finite number that the user sets, stored as a plain float; or None if that is allowed.

    Accepts any value that converts to a float, such as a numpy scalar or a tensor of one element.
    Refuses NaN and infinities, because JSON cannot represent them.
    """

    info_text = "a finite number"

    def validate(self, obj: Any, value: Any) -> float:  # noqa: ARG002 - traitlets passes it
        """Return the value as a float, or raise TraitError."""
        return finite(self.name or "value", value)


class LiveNumber(Published[float | None], Number[float | None, Never]):
    """A finite float or None."""


class Rate(Live[float | None, SupportsFloat | None], Number[float | None, SupportsFloat | None]):
    """The chosen rate. The program sets it until the user picks one."""

    def set(self, obj: Any, value: Any) -> None:
        """Set the rate by assignment or from the page, which is a pick; None takes one back."""
        # In one message, so that a page with its own pick knows that this one is newer.
        with obj.hold_sync():
            value = self._validate(obj, value)  # a refused value does not count as a pick
            obj._note_pick(value is not None)
            self._store(obj, value)

    def _store(self, obj: Any, value: Any) -> None:
        """Store a validated value, as traitlets does after its own validation."""
        old = obj._trait_values.get(self.name, self.default_value)
        obj._trait_values[self.name] = value
        if old != value:
            obj._notify_trait(self.name, old, value)

    def move(self, obj: Any, value: Any) -> None:
        """Set the rate from the program, which does not count as a pick."""
        super().set(obj, value)


class NumberPair(Locked[tuple[float, float] | None, Sequence[SupportsFloat] | None]):
    """A pair (low, high) of finite numbers, low < high, or None."""

    info_text = "a pair of numbers (low, high) with low < high, or None"

    def validate(self, obj: Any, value: Any) -> tuple[float, float]:  # noqa: ARG002
        """Return the pair as floats, or raise TraitError."""
        name = self.name or "value"
        is_pair = isinstance(value, (tuple, list)) and len(value) == 2
        low, high = map(number, value) if is_pair else (math.nan, math.nan)
        if not -math.inf < low < high < math.inf:
            raise traitlets.TraitError(f"{name} is {value!r}; expected {self.info_text}")
        return low, high


class Counts(Locked[Sequence[int], Sequence[int]]):
    """Distinct non-negative integers, in ascending order."""

    info_text = "a list of whole numbers from 0 on"

    def validate(self, obj: Any, value: Any) -> tuple[int, ...]:  # noqa: ARG002
        """Return the sorted numbers, or raise TraitError."""
        if not isinstance(value, (list, tuple)) or not all(
            type(count) is int and count >= 0 for count in value
        ):
            raise traitlets.TraitError(f"{self.name} is {value!r}; expected {self.info_text}")
        return tuple(sorted(set(value)))


def finite(name: str, value: Any) -> float:
    """Return `value` as a finite float, or raise TraitError."""
    plain = number(value)
    if not math.isfinite(plain):
        such = _SUCH_AS.get(name, "1e-3")
        raise traitlets.TraitError(f"{name} is {value!r}; expected a finite number such as {such}")
    return plain


_SUCH_AS = {"smoothing": "0.9", "y_max": "2.5"}
