"""What the page asks for, and the widget's answers."""

import logging
from collections.abc import Callable
from typing import Any

from ipywidgets import Widget

from lrwidget.stream.protocol import Command, Export, Hello, Pick, Resync, RunCommand, parse
from lrwidget.stream.redact import redact_paths
from lrwidget.widget.chosen import ChosenWidget

logger = logging.getLogger(__name__)


class PageCommands(ChosenWidget):
    """The page's half of the widget: messages come in as data, and each gets its answer."""

    def _on_page_message(self, _widget: Widget, content: Any, _buffers: Any) -> None:
        try:
            message = parse(content)
        except ValueError as problem:
            logger.warning("ignored a message of the page: %s", problem)
            return
        match message:
            case Hello():
                self._page.greeted = True
                for run in self._shown():
                    self._tell(run, "sync", model_id=self.model_id)
                self._tell_check()
            case Resync(number, start, "check"):
                self._tell_check(start if number == self._checks else 0)
            case Resync(number, start):
                # Of a run that is gone the page hears nothing: the legend has no word of it.
                for run in self._shown():
                    if run.number == number:
                        self._tell(run, offset=start)
            case Export(name):
                ok, text = self._attempt(lambda: str(self._export(name)))
                self.send({"type": "exported", "ok": ok, "text": text})
            case Pick(lr):
                self._attempt(lambda: setattr(self, "lr", lr))
            case Command(name):
                self._do(self._apply_in_words if name == "apply" else getattr(self, name))
            case RunCommand(action, number, label):
                self._do(lambda: self._do_with_run(action, number, label))

    def _do(self, action: Callable[[], Any]) -> None:
        _, text = self._attempt(action)
        self._current.notice = text if isinstance(text, str) else ""
        self._catch_up()
        self._tell(offset=None)  # also where nothing was to be done: the page waits

    def _do_with_run(self, action: str, number: int, label: str) -> None:
        run = self._kept.get(number)
        if run is None:
            raise ValueError("that run is gone")
        if action == "rename":
            self._rename(run, label)
        else:
            (self._activate if action == "activate" else self._remove)(run)

    def _attempt(self, action: Callable[[], Any]) -> tuple[bool, Any]:
        """Do what a button asks for; what goes wrong is for the page, not for the running cell.

        The page keeps it and is shared: no folder is in it.
        """
        try:
            return True, action()
        except (RuntimeError, ValueError, TypeError) as error:
            return False, redact_paths(str(error))
        except Exception as error:
            logger.exception("a command of the page failed")
            return False, redact_paths(f"{type(error).__name__}: {error}")

    def _apply_in_words(self) -> str:
        self.apply()
        return f"The optimizer's learning rate is now {self.lr!r}."
