"""A widget that is safe to use from several threads. See `lrwidget.widget.traits`."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import anywidget
import traitlets

from lrwidget.stream.protocol import brief, well_formed
from lrwidget.stream.threads import in_background

logger: logging.Logger = logging.getLogger(__name__)


# The traits that anywidget adds to each widget.
ANYWIDGET = frozenset({"_anywidget_id", "_css", "_esm"})
# ipywidgets' own traits that a page may set.
IPYWIDGETS = frozenset({"layout", "tabbable", "tooltip", "_dom_classes", "_view_count"})


class ThreadSafeWidget(anywidget.AnyWidget):
    """An anywidget with live traits, which may be set and read from several threads.

    The page may set a trait with the tag `page=True`. A trait with the tag `streamed=True` also
    reaches the page in messages; it is not sent while a loop reads it, which would flood the page.

    Args:
        values: returns the current values of the live traits, in the order in which to set them.
        kwargs: initial values of traits.
    """

    # How anywidget tells classes apart when it replaces their styles.
    _anywidget_id = traitlets.Unicode().tag(sync=True)

    # Read before __init__ has run to its end, and after it has failed.
    _ready = False
    _catching_up = False
    _sending_streamed = False
    _scheduled = False

    def __init__(self, values: Callable[[], Mapping[str, Any]], **kwargs: Any) -> None:
        self._values = values
        # Validated values from the page, which are about to be set.
        self._validated: Mapping[str, Any] = {}
        self._lock = threading.RLock()
        # The kernel's event loop: in a notebook, but not in a script.
        self._loop: asyncio.AbstractEventLoop | None = None
        with contextlib.suppress(RuntimeError):
            self._loop = asyncio.get_running_loop()
        self._ready = True
        super().__init__(**kwargs)

    def add_traits(self, **traits: Any) -> None:
        """Add traits to this widget, but for those of anywidget that its class has.

        anywidget adds its own to each widget, and traitlets then makes a class for that widget
        alone, which took a tenth of the time to make a widget.
        """
        known = {name for name in ANYWIDGET if self.has_trait(name)}
        added = {name: trait for name, trait in traits.items() if name not in known}
        if added:
            super().add_traits(**added)

    # -- from the background threads to the traits ----------------------------------------------

    @traitlets.default("_anywidget_id")
    def _name_of_class(self) -> str:
        return f"{type(self).__module__}.{type(self).__name__}"

    def _catch_up(self, *, send_streamed: bool = False) -> None:
        """Set the traits to the values that the background threads published.

        Runs on the calling thread. After an interrupt the next call sets the remaining traits.
        """
        if not self._ready or in_background():
            return
        with self._lock:
            if self._catching_up:
                return
            self._catching_up, self._sending_streamed = True, send_streamed
            try:
                with self.hold_sync():
                    for name, value in self._values().items():
                        self._move(name, value)
            finally:
                self._catching_up = self._sending_streamed = False

    def _move(self, name: str, value: Any) -> None:
        try:
            self.traits()[name].move(self, value)
        except Exception:
            # The value is already set. An observer's error must neither be raised where another
            # trait is read nor keep the other traits from being set.
            logger.exception("an observer of %s failed", name)

    def _catch_up_soon(self) -> None:
        """Ask the kernel's main thread to catch up; may be called from any thread."""
        loop = self._loop
        if loop is None or self._scheduled:
            return
        self._scheduled = True
        try:
            loop.call_soon_threadsafe(self._on_loop)
        except RuntimeError:  # the loop is closed: the kernel is shutting down
            self._loop = None

    def _on_loop(self) -> None:
        self._scheduled = False
        self._catch_up(send_streamed=True)

    def _should_send_property(self, key: str, value: Any) -> bool:
        reading = self._catching_up and not self._sending_streamed
        if reading and self.trait_metadata(key, "streamed", False):
            return False
        return bool(super()._should_send_property(key, value))

    def _send_along(self, key: str) -> None:
        """Send a trait with the others of a `hold_sync` at its end, or at once outside of one."""
        if super()._should_send_property(key, getattr(self, key)):
            self.send_state(key)

    @contextlib.contextmanager
    def hold_sync(self) -> Iterator[None]:
        """Delay messages to the page until the block ends; one thread at a time."""
        with self._lock, super().hold_sync():
            yield

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> Any:  # noqa: ARG002
        """Return the current traits, brought up to date once for all of them.

        No trait is left out: the page has no defaults, where `drop_defaults` expects some.
        """
        with self._lock:
            self._catch_up()
            caught_up, self._catching_up = self._catching_up, True
            try:
                return super().get_state(key)
            finally:
                self._catching_up = caught_up

    def send_state(self, key: Any = None) -> None:
        """Send the current traits; the lock keeps them from changing while they are sent."""
        if self.comm is None:  # not yet open, or closed
            return
        with self._lock:
            super().send_state(key)

    # -- from the page to the traits ------------------------------------------------------------

    def _handle_msg(self, msg: Any) -> None:
        if not well_formed(msg):
            logger.warning("ignored a malformed message of the page: %s", brief(msg))
            return
        super()._handle_msg(msg)

    def set_state(self, sync_data: Mapping[str, Any]) -> None:
        """Set the traits that the page has changed, each by itself.

        A refused value does not prevent the others from being set: it is logged, and the page gets
        the current value back.
        """
        with self._lock:
            self._catch_up()
            validated, as_json, refused = {}, {}, []
            for name, value in sync_data.items():
                if not self._page_may_set(name):
                    # The unsaved changes of a page may include traits that only the kernel sets.
                    logger.debug("ignored %s from the page, which is the kernel's", brief(name))
                    continue
                try:
                    validated[name] = self._from_json(name, value)
                    as_json[name] = self._to_json(name, validated[name])
                except (traitlets.TraitError, TypeError, ValueError, KeyError) as error:
                    logger.warning("ignored %s from the page: %s", name, brief(str(error)))
                    refused.append(name)
            if as_json:
                self._validated = validated
                try:
                    super().set_state(as_json)  # also sends the values back, as the page expects
                finally:
                    self._validated = {}
            if refused:
                self.send_state(refused)

    def _is_validated(self, name: str, value: Any) -> bool:
        """Return whether `set_state` has validated this object and is now setting it."""
        # Once traitlets releases its lock, observers run, and may set new values.
        setting = self._cross_validation_lock and name in self._validated
        return setting and self._validated[name] is value

    def _page_may_set(self, name: str) -> bool:
        trait = self.traits().get(name)
        return name in IPYWIDGETS or (trait is not None and bool(trait.metadata.get("page")))

    def _from_json(self, name: str, value: Any) -> Any:
        from_json = self.trait_metadata(name, "from_json", self._trait_from_json)
        return self.traits()[name]._validate(self, from_json(value, self))

    def _to_json(self, name: str, value: Any) -> Any:
        return self.trait_metadata(name, "to_json", self._trait_to_json)(value, self)
