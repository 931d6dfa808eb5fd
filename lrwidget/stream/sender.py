"""The thread that sends the rows of a run to the page while it runs."""

import logging
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Protocol

from lrwidget.stream.at_exit import end_at_exit
from lrwidget.stream.budget import INTERVAL, Budget
from lrwidget.stream.protocol import AnyDetail, Extras, KernelMessage, Rows, Status, rows_message
from lrwidget.stream.threads import mark_background

logger: logging.Logger = logging.getLogger(__name__)

# Longer while paused: only the state can change, and that wakes the sender.
PAUSED_INTERVAL = 0.5
# Seconds after its start at which a run is sent again from its first row, until a page has said
# hello: a page that is still loading loses messages, and a busy kernel does not read its hello.
REPEATS = (1.0, 3.0, 10.0)

News = tuple[str, str | None, int, AnyDetail]  # state, error, steps, detail


@dataclass(slots=True)
class PageState:
    """State that the senders' threads share with the widget; plain values, so without a lock."""

    send: Callable[[KernelMessage, list[bytes]], None]
    catch_up_soon: Callable[[], None]
    clamp: Callable[[float | None], float | None]
    greeted: bool = False  # a page has said hello
    picked: bool = False  # the user has chosen a rate, which the program must not move
    model_id: str | None = None  # the id of the widget's own model in the page
    active: int = 0  # the number of the active run, whose suggestion moves the marker
    budget: Budget = field(default_factory=Budget)


class Run(Protocol):
    """The attributes of a run that the sender uses."""

    @property
    def records(self) -> Rows:
        """The table of the run."""

    @property
    def over(self) -> bool:
        """Whether the run has ended, with its last row in the table."""

    def settle(self) -> None:
        """Compute and publish the outcome."""

    def status(self) -> Status:
        """Return the current status."""


def _news(status: Status) -> News:
    return status.state, status.error, status.steps, status.detail


@dataclass
class Sender:
    """A thread that sends the rows of one run while it runs, and ends with it.

    It calls `page.send`, which uses no traits, and sets none itself. It also computes the outcome
    (`run.settle`), so that neither the sweep nor the kernel's main thread waits for that.
    """

    run: Run
    page: PageState
    kind: str = "rows"  # the type of its messages
    # The number of the sweep whose marker its outcome moves; by default its own, if it is one.
    sweep: int | None = None
    _wake: threading.Event = field(default_factory=threading.Event)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start, in the caller's context: ipykernel 7.0 finds the parent message there."""
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._work,), name="lrwidget-sender", daemon=True
        )
        self._thread.start()
        end_at_exit(self._thread, self.wake)

    def wake(self) -> None:
        """Make the thread check the run at once, after a change of state."""
        self._wake.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait at most `timeout` seconds; return whether the run is over and all rows are sent."""
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
        self.page.budget.news_due()  # who started the run updates the traits
        repeats = list(REPEATS)
        sent = 0
        told: News | None = None
        while True:
            self._wake.clear()
            # Read before the rows, so that the last iteration sees all of them.
            over = self.run.over
            passed = time.monotonic() - began
            if repeats and passed >= repeats[0] and not self.page.greeted:
                repeats.pop(0)
                sent, told = 0, None
            sent, told = self._send_news(sent, told, urgent=over)
            if over:
                self.run.settle()  # slow, so only after the last rows were sent
                self._send_news(sent, told, urgent=True, last=True)
                self.page.catch_up_soon()
                return
            if self.page.budget.news_due():
                self.page.catch_up_soon()
            paused = told is not None and told[0] == "paused"
            self._wake.wait(PAUSED_INTERVAL if paused else INTERVAL)

    def _send_news(
        self, sent: int, told: News | None, *, urgent: bool, last: bool = False
    ) -> tuple[int, News | None]:
        """Send new rows and status, if any; return the sent row count and the last news."""
        status = self.run.status()
        if not last and told == _news(status) and status.step <= sent:
            return sent, told
        changed = told is None or told[0] != status.state
        self.page.budget.wait(urgent=urgent or changed)
        status = self.run.status()  # again, since it may have changed during the wait
        news = _news(status)
        more: Extras = {}
        if news != told:
            # A busy kernel answers no hello, but the page needs its model's id to save it.
            more["model_id"] = self.page.model_id
        sweep = status.run if self.kind == "rows" else self.sweep
        if last and sweep == self.page.active and not self.page.picked:
            more["lr"] = self.page.clamp(status.suggestion)
        content, buffers = rows_message(
            status, self.run.records, sent, kind=self.kind, detail=news != told, **more
        )
        try:
            self.page.send(content, buffers)
        except Exception:
            # The page requests missed rows again; the sweep must go on.
            logger.exception("a message to the page was not sent")
            return sent, told
        return sent + sum(map(len, buffers)) // 16, news
