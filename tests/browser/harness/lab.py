"""A notebook that is open in JupyterLab in a real browser."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode

from playwright.sync_api import ConsoleMessage, Error, Page

from tests.browser.harness.kernel import Kernel
from tests.browser.harness.lab_script import PAGE_SCRIPT
from tests.browser.harness.server import JupyterServer

TIMEOUT = 90.0  # seconds for a condition to become true; the full time passes only if it never does

# Errors of the front ends themselves, each with its cause. None of ours may be listed here.
FRONT_ENDS_OWN_ERRORS = (
    # After a kernel restart the debugger's request to the old kernel is cancelled.
    "Could not restore the debugger state: Canceled future for debug_request",
    # Notebook 7.6 reads a setting before all are loaded, with any notebook.
    "Cannot read properties of undefined (reading 'schema')",
    # Its file browser opens the file's folder, on a slow machine before that command is
    # registered, with any notebook.
    "Command 'filebrowser:open-path' not registered.",
)

T = TypeVar("T")
# JupyterLab's view of a single document, all of JupyterLab, and Notebook 7.
Shell = Literal["notebook", "lab", "notebook7"]
Theme = Literal["light", "dark"]
PLACES = {"notebook": "doc/tree", "notebook7": "notebooks"}
NOWHERE = "about:blank"  # the URL of a new page
REOPENINGS = 5
MODEL_NOT_FOUND = "model not found"  # JupyterLab's text in an output that has no model
SHUT_DOWN = "() => labTest.panel().sessionContext.shutdown()"


class Lab:
    """A notebook in JupyterLab: opens it, runs its cells, reads the page and its kernel.

    The page is a new one, or one that another `Lab` has left by `close(keep_page=True)`. `errors`
    contains every console error and every uncaught exception of the page. `aside` is the page with
    a single document that was given, where `open` has taken another one; it can be used again.
    """

    def __init__(self, server: JupyterServer, page: Page, folder: str) -> None:
        self.server = server
        self.page = page
        self.aside: Page | None = None
        self.folder = server.notebooks / folder
        self.folder.mkdir()
        self.errors: list[str] = []
        self._notebook = f"{folder}/notebook.ipynb"
        self._kernel: Kernel | None = None
        self._listen()

    def _listen(self) -> None:
        self.page.on("console", self._on_console)
        self.page.on("pageerror", self._on_error)
        if self.page.url == NOWHERE:
            # Accepts the question whether to leave a page with unsaved changes.
            self.page.on("dialog", lambda dialog: dialog.accept())
            self.page.add_init_script(PAGE_SCRIPT)

    def _listen_no_more(self) -> None:
        self.page.remove_listener("console", self._on_console)
        self.page.remove_listener("pageerror", self._on_error)

    def _on_error(self, error: Error) -> None:
        self._note(str(error), "uncaught: {}")

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._note(message.text, f"console: {{}} ({message.location.get('url', '')})")

    def _note(self, text: str, form: str) -> None:
        if not any(own in text for own in FRONT_ENDS_OWN_ERRORS):
            self.errors.append(form.format(text))

    # The notebook

    def open(self, *cells: str, shell: Shell = "notebook") -> None:
        """Write a notebook of these cells and open it with a fresh kernel.

        Second views, and closing and reopening, need all of JupyterLab (`shell="lab"`).
        """
        steps = Path(__file__).with_name("steps.py")
        shutil.copy(steps, self.folder)
        notebook = {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
            "cells": [_code_cell(number, cell) for number, cell in enumerate(cells)],
        }
        (self.server.notebooks / self._notebook).write_text(json.dumps(notebook))
        self.server.give_kernel(self._notebook)
        # A new workspace, because JupyterLab would otherwise reopen earlier notebooks.
        place = PLACES.get(shell, f"lab/workspaces/{self.folder.name}/tree")
        if shell == "notebook" and self._shows_one_document:
            self._open_document()
        else:
            if self._shows_one_document:
                self._take_another_page()
            query = urlencode({"token": self.server.token})
            self.page.goto(f"{self.server.url}/{place}/{self._notebook}?{query}")
        self._wait_until_ready(idle=True)

    @property
    def _shows_one_document(self) -> bool:
        """Whether the page shows JupyterLab's view of a single document, which `open` can reuse."""
        return self.page.url.startswith(f"{self.server.url}/{PLACES['notebook']}")

    def _take_another_page(self) -> None:
        self._listen_no_more()
        self.aside = self.page
        self.page = self.aside.context.new_page()
        assert self.aside.viewport_size is not None
        self.page.set_viewport_size(self.aside.viewport_size)
        self._listen()

    def _open_document(self) -> None:
        self.page.evaluate(
            "async (path) => { await jupyterapp.commands.execute('docmanager:open', { path }) }",
            self._notebook,
        )

    def _wait_until_ready(self, idle: bool) -> None:
        self.wait_for(
            "the notebook is open and its kernel ready",
            lambda: self.page.evaluate("(idle) => labTest.ready(idle)", idle),
        )

    def run_cell(self, index: int, wait: bool = True) -> None:
        """Run one cell; with `wait`, wait until it is done and fail if it raised."""
        self.page.evaluate("(index) => { labTest.run(index) }", index)
        if wait:
            self.wait_for_cell(index)

    def run_all(self, wait: bool = True) -> None:
        """Run all cells; with `wait`, wait until they are done and fail if one raised."""
        self.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells') }")
        if wait:
            count = self.page.evaluate("labTest.panel().content.widgets.length")
            for index in range(count):
                self.wait_for_cell(index)

    def is_busy(self, index: int) -> bool:
        """Return whether a cell runs or is queued."""
        return bool(self.page.evaluate("(index) => labTest.prompt(index) === '[*]:'", index))

    def wait_for_cell(self, index: int) -> None:
        """Wait until a cell has run; raise AssertionError with the traceback if it raised."""
        self.page.wait_for_function(
            "(index) => /[0-9]/.test(labTest.prompt(index))",
            arg=index,
            timeout=TIMEOUT * 1000,
            polling=50,  # by default it asks, and so has the page drawn, in each frame
        )
        for output in self.outputs(index):
            if output["output_type"] == "error":
                raise AssertionError("\n".join(output["traceback"]))

    def outputs(self, index: int) -> list[dict[str, Any]]:
        """Return the outputs of a cell in the format of the notebook file."""
        outputs: list[dict[str, Any]] = self.page.evaluate(
            "(index) => labTest.outputs(index)", index
        )
        return outputs

    def text(self, index: int) -> str:
        """Return the text that a cell printed."""
        return "".join(o["text"] for o in self.outputs(index) if o["output_type"] == "stream")

    # Gates: see steps.py

    def allow(self, gate: str, times: int) -> None:
        """Let a gate be passed this many times in all."""
        new = self.folder / f"{gate}.new"
        new.write_text(str(times))
        new.replace(self.folder / gate)  # replaced at once: the kernel may read it at any moment

    # The kernel

    @property
    def kernel(self) -> Kernel:
        """The kernel of this notebook, queried by a second client."""
        if self._kernel is None:
            self._kernel = Kernel(self.server.connection_file(self._notebook))
        return self._kernel

    def restart_kernel(self) -> None:
        """Restart the kernel like the menu command, but without its confirmation."""
        self._let_go_of_kernel()
        self.page.evaluate("labTest.panel().sessionContext.session.kernel.restart()")
        self._wait_until_ready(idle=True)

    def shut_down_kernel(self, script: str = SHUT_DOWN, argument: object = None) -> None:
        """Shut the kernel down like the menu command."""
        self._let_go_of_kernel()
        self.page.evaluate(script, argument)

    def start_kernel(self) -> None:
        """Start a kernel in a notebook that has none."""
        self.page.evaluate("labTest.panel().sessionContext.startKernel()")
        self._wait_until_ready(idle=True)

    def _let_go_of_kernel(self) -> None:
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None

    def interrupt_kernel(self) -> None:
        """Interrupt the running cell like the menu command."""
        self.page.evaluate("labTest.panel().sessionContext.session.kernel.interrupt()")

    # The page

    def wait_for(self, what: str, fact: Callable[[], T], timeout: float = TIMEOUT) -> T:
        """Call `fact` until it returns a true value, and return that; `what` is for the error.

        Ever less often, since each call costs the page and the kernel some of the processor.
        """
        deadline = time.monotonic() + timeout
        pause = 20.0
        while not (value := fact()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout:g} s: {what}")
            # Unlike time.sleep, this lets playwright handle events.
            self.page.wait_for_timeout(pause)
            pause = min(1.5 * pause, 250)
        return value

    def theme(self, name: Theme) -> None:
        """Switch JupyterLab's theme and wait until the page uses it."""
        self.page.evaluate(
            "(theme) => jupyterapp.commands.execute('apputils:change-theme', { theme })",
            f"JupyterLab {name.title()}",
        )
        self.page.wait_for_function(
            "(light) => document.body.dataset.jpThemeLight === light",
            arg="true" if name == "light" else "false",
            timeout=TIMEOUT * 1000,
        )

    def save(self) -> None:
        """Save the notebook with its outputs."""
        self.page.evaluate("jupyterapp.commands.execute('docmanager:save')")

    def reload(self) -> None:
        """Save the notebook, because its outputs would be lost, and reload the page."""
        self.save()
        self.page.reload()
        self._wait_until_ready(idle=False)

    def close_notebook(self, shut_down_kernel: bool = False, save: bool = True) -> None:
        """Save the notebook and close its tab; needs `shell="lab"`."""
        if save:
            self.save()
        if shut_down_kernel:
            self.shut_down_kernel()
        self.page.evaluate("labTest.panel().dispose()")

    def reopen_notebook(self) -> None:
        """Open the notebook again after `close_notebook`.

        Opens it again if JupyterLab reports that it has no model. Its widget manager restores the
        kernel's widgets twice if the kernel connects during the first time, and an output that is
        rendered between the two never gets its model.
        """
        for _ in range(REOPENINGS):
            noted = len(self.errors)
            self._open_document()
            self._wait_until_ready(idle=False)
            if not self.wait_for("the outputs are rendered", self._rendered)[MODEL_NOT_FOUND]:
                return
            self.page.evaluate("labTest.panel().dispose()")
            self.errors[noted:] = [e for e in self.errors[noted:] if MODEL_NOT_FOUND not in e]
        raise AssertionError(f"JupyterLab has no model, {REOPENINGS} times one after the other")

    def trust_notebook(self) -> None:
        """Trust the open notebook in JupyterLab's dialog.

        That saves the notebook, and with it the models that JupyterLab has: so they have to be
        there, and not be restored once more as the kernel connects.
        """
        self._wait_until_ready(idle=True)
        self.wait_for("the models are restored", lambda: self.page.evaluate("labTest.restored()"))
        self.page.evaluate("() => { jupyterapp.commands.execute('notebook:trust') }")
        self.page.get_by_role("dialog").get_by_role("button").last.click()

    def _rendered(self) -> dict[str, bool] | None:
        """Return None while an output is being loaded, then whether one has no model."""
        texts: list[str] = self.page.evaluate("labTest.placeholders()")
        if any("Loading widget" in text for text in texts):
            return None
        return {MODEL_NOT_FOUND: any(MODEL_NOT_FOUND in text for text in texts)}

    def save_widget_state(self, on: bool = True) -> None:
        """Switch "Settings > Save Widget State Automatically"; it stays so for later notebooks."""
        self.page.evaluate(
            """async ([command, on]) => {
                const { commands } = jupyterapp;
                if (commands.isToggled(command) !== on) await commands.execute(command);
            }""",
            ["@jupyter-widgets/jupyterlab-manager:saveWidgetState", on],
        )

    def open_second_view(self, index: int) -> None:
        """Run "Create New View for Cell Output" on a cell; needs `shell="lab"`."""
        self.page.evaluate(
            """async (index) => {
                labTest.panel().content.activeCellIndex = index;
                await jupyterapp.commands.execute('notebook:create-output-view');
            }""",
            index,
        )

    def close_second_view(self) -> None:
        """Close the view that `open_second_view` has opened."""
        self.page.evaluate(
            """() => {
                for (const widget of [...jupyterapp.shell.widgets('main')])
                    if (widget.content?.hasClass('jp-LinkedOutputView')) widget.close();
            }"""
        )

    def close(self, keep_kernel: bool, keep_page: bool = False) -> None:
        """Close the notebook; end its kernel, or empty it for the next notebook.

        With `keep_page` a page with a single document stays open for the next one.
        """
        try:
            if self._kernel is not None:
                self._kernel.close()
            if keep_page and self._shows_one_document:
                self.page.evaluate("labTest.panel()?.dispose()")
                self._listen_no_more()
            else:
                self.page.close()
        except Error:
            pass  # the browser has been closed
        finally:
            if keep_kernel and self.server.sessions(self._notebook):
                # A sweep may still wait at the gate.
                self.allow("steps", 1_000_000)
                self.server.take_kernel_back(self._notebook)
            else:
                self.server.shut_down_kernels(self._notebook)


def _code_cell(number: int, source: str) -> dict[str, object]:
    return {
        "cell_type": "code",
        "id": f"cell-{number}",
        "source": source.strip("\n"),
        "metadata": {},
        "execution_count": None,
        "outputs": [],
    }
