"""The thread that sends the rows of a run to the page while it runs."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Protocol

from lrwidget.stream.budget import INTERVAL, Budget
from lrwidget.stream.protocol import Extras, KernelMessage, Rows, Status, rows_message
from lrwidget.stream.threads import mark_background

logger = logging.getLogger(__name__)

# While paused only a change of state is news, and that wakes the sender.
PAUSED_INTERVAL = 0.5
# A page whose code is still loading loses messages, and its hello waits as long as the kernel's
# main thread is busy. So the run is sent again from its beginning, seconds after its start, until a
# page has said hello.
REPEATS = (1.0, 3.0, 10.0)

News = tuple[str, str | None, Mapping[str, Any]]  # state, error, detail


@dataclass(slots=True)
class PageState:
    """What the senders' threads share with the widget. Plain values, so no lock is needed."""

    send: Callable[[KernelMessage, list[bytes]], None]
    catch_up_soon: Callable[[], None]
    clamp: Callable[[float | None], float | None]
    greeted: bool = False  # a page has said hello
    picked: bool = False  # the user has chosen a rate: the program leaves it alone
    model_id: str | None = None  # under which the page finds the widget's own model
    active: int = 0  # the number of the active run, whose suggestion moves the marker
    budget: Budget = field(default_factory=Budget)


class Run(Protocol):
    """What the sender needs of a run."""

    @property
    def records(self) -> Rows:
        """Its table."""

    @property
    def over(self) -> bool:
        """Whether its last row is in the table."""

    def settle(self) -> None:
        """Work out and publish what it came to."""

    def status(self) -> Status:
        """What there is to say."""


def _news(status: Status) -> News:
    return status.state, status.error, status.detail


@dataclass
class Sender:
    """A thread that sends the rows of one run while it runs, and ends with it.

    It calls `page.send`, which touches no trait, and sets none itself. What the run came to is
    worked out here (`run.settle`), so that neither the sweep nor the kernel's main thread waits.
    """

    run: Run
    page: PageState
    kind: str = "rows"  # the type of its messages
    _wake: threading.Event = field(default_factory=threading.Event)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin. The thread keeps the caller's context: ipykernel 7.0 looks its parent up there."""
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._work,), name="lrwidget-sender", daemon=True
        )
        self._thread.start()

    def wake(self) -> None:
        """Look at once: the state has changed."""
        self._wake.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait, at most so many seconds, until the run is over and all is sent; whether it is."""
        if self._thread is None:
            return True
        # Not `Thread.join` for the long wait: before Python 3.13 an interrupt in the middle of it
        # marks the thread as ended (bpo-45274).
        if not self._ended.wait(timeout):
            return False
        self._thread.join()
        return True

    def _work(self) -> None:
        mark_background()
        try:
            self._follow()
        finally:
            self._ended.set()

    def _follow(self) -> None:
        began = time.monotonic()
        repeats = list(REPEATS)
        sent = 0
        told: News | None = None
        while True:
            self._wake.clear()
            # Asked before the rows are read, so that the last look sees all of them.
            over = self.run.over
            now = time.monotonic()
            if self.page.greeted:
                repeats.clear()
            elif repeats and now - began >= repeats[0]:
                repeats.pop(0)
                sent, told = 0, None
            sent, told = self._send_news(sent, told)
            if over:
                self.run.settle()  # takes a moment, for which the last rows should not wait
                self._send_news(sent, told, last=True)
                self.page.catch_up_soon()
                return
            if self.page.budget.news_due():
                self.page.catch_up_soon()
            paused = told is not None and told[0] == "paused"
            self._wake.wait(PAUSED_INTERVAL if paused else INTERVAL)

    def _send_news(
        self, sent: int, told: News | None, *, last: bool = False
    ) -> tuple[int, News | None]:
        """Send what is new, if anything; returns what has been sent and told by now."""
        status = self.run.status()
        if not last and told == _news(status) and status.step <= sent:
            return sent, told
        self.page.budget.wait()
        status = self.run.status()  # while it waited there may have been more
        news = _news(status)
        more: Extras = {}
        if news != told:
            # A busy kernel answers no hello, and the page must know its own model to have it saved.
            more["model_id"] = self.page.model_id
        # A check only offers a rate.
        moves = last and self.kind == "rows" and status.run == self.page.active
        if moves and not self.page.picked:
            more["lr"] = self.page.clamp(status.suggestion)
        content, buffers = rows_message(
            status, self.run.records, sent, kind=self.kind, detail=news != told, **more
        )
        try:
            self.page.send(content, buffers)
        except Exception:
            # The page asks again for what it misses; the sweep must go on.
            logger.exception("a message to the page was not sent")
            return sent, told
        return sent + sum(map(len, buffers)) // 16, news
