"""A widget that threads can feed and that no page can upset. See `lrwidget.widget.traits`."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import anywidget
import traitlets

from lrwidget.stream.protocol import brief, well_formed
from lrwidget.stream.threads import in_background

logger = logging.getLogger(__name__)


class ThreadSafeWidget(anywidget.AnyWidget):
    """An anywidget with live traits: the threading of the traits, apart from what they mean.

    A subclass says in `_news` which values its live traits should have now. Traits named in
    `_streamed` reach the page by another way as well; they are sent only where that is asked for,
    so that a loop that reads them does not flood the page. `_from_page` names what a page may set.
    """

    _from_page: ClassVar[frozenset[str]] = frozenset(
        {"layout", "tabbable", "tooltip", "_dom_classes", "_view_count"}
    )
    _streamed: ClassVar[frozenset[str]] = frozenset()

    # Read before __init__ has run to its end, and after it has failed.
    _ready = False
    _catching_up = False
    _telling = False
    _asked = False

    def __init__(self, **kwargs: Any) -> None:
        self._lock = threading.RLock()
        # The kernel's loop, where one runs: in a notebook, not in a script.
        self._loop: asyncio.AbstractEventLoop | None = None
        with contextlib.suppress(RuntimeError):
            self._loop = asyncio.get_running_loop()
        self._ready = True
        super().__init__(**kwargs)

    def _news(self) -> dict[str, Any]:
        """The values that the live traits should have now, in the order in which to set them."""
        raise NotImplementedError

    # -- from the background threads to the traits ----------------------------------------------

    def _catch_up(self, *, tell: bool = False) -> None:
        """Put what the background threads published into the traits, on the calling thread.

        Idempotent: an interrupt in the middle is mended by the next call.
        """
        if not self._ready or in_background():
            return
        with self._lock:
            if self._catching_up:
                return
            self._catching_up, self._telling = True, tell
            try:
                with self.hold_sync():
                    for name, value in self._news().items():
                        self._put(name, value)
            finally:
                self._catching_up = self._telling = False

    def _put(self, name: str, value: Any) -> None:
        try:
            self.traits()[name].move(self, value)
        except Exception:
            # The value is set by now. An observer's error must neither come out of the reading of
            # another trait nor keep the rest from being set.
            logger.exception("an observer of %s failed", name)

    def _catch_up_soon(self) -> None:
        """Ask the kernel's main thread to catch up; from any thread."""
        loop = self._loop
        if loop is None or self._asked:
            return
        self._asked = True
        try:
            loop.call_soon_threadsafe(self._on_loop)
        except RuntimeError:  # the loop is closed: the kernel is shutting down
            self._loop = None

    def _on_loop(self) -> None:
        self._asked = False
        self._catch_up(tell=True)

    def _should_send_property(self, key: str, value: Any) -> bool:
        if key in self._streamed and self._catching_up and not self._telling:
            return False
        return bool(super()._should_send_property(key, value))

    @contextlib.contextmanager
    def hold_sync(self) -> Iterator[None]:
        """Hold what is sent to the page until the block ends; one thread at a time."""
        with self._lock, super().hold_sync():
            yield

    def send_state(self, key: Any = None) -> None:
        """Send traits as they are now: what is read must not move while it is gone through."""
        with self._lock:
            self._catch_up()
            caught_up, self._catching_up = self._catching_up, True
            try:
                super().send_state(key)
            finally:
                self._catching_up = caught_up

    # -- from the page to the traits ------------------------------------------------------------

    def _handle_msg(self, msg: Any) -> None:
        if not well_formed(msg):
            logger.warning("ignored a malformed message of the page: %s", brief(msg))
            return
        super()._handle_msg(msg)

    def set_state(self, sync_data: Mapping[str, Any]) -> None:
        """Take over what the page has set, each trait by itself.

        A value that is refused takes nothing else with it: it is logged, and the page is told the
        value that stands.
        """
        with self._lock:
            self._catch_up()
            settled, refused = {}, []
            for name, value in sync_data.items():
                if name not in self._from_page:
                    # A page may hold the kernel's own traits among its unsaved changes.
                    logger.debug("ignored %s from the page, which is the kernel's", brief(name))
                    continue
                try:
                    settled[name] = self._settled(name, value)
                except (traitlets.TraitError, TypeError, ValueError, KeyError) as error:
                    logger.warning("ignored %s from the page: %s", name, brief(str(error)))
                    refused.append(name)
            if settled:
                super().set_state(settled)
            if refused:
                self.send_state(refused)

    def _settled(self, name: str, value: Any) -> Any:
        """The value as the trait will hold it, as JSON: that is what the page gets as its echo."""
        from_json = self.trait_metadata(name, "from_json", self._trait_from_json)
        to_json = self.trait_metadata(name, "to_json", self._trait_to_json)
        return to_json(self.traits()[name]._validate(self, from_json(value, self)), self)
