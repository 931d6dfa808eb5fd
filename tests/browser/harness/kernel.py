"""Queries the kernel of an open notebook with a second client."""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from jupyter_client.asynchronous.client import AsyncKernelClient

TIMEOUT = 120.0  # seconds; the full time passes only if the kernel does not answer

T = TypeVar("T")


class KernelError(AssertionError):
    """The kernel raised; the message contains its traceback."""


class Kernel:
    """A second client of a running kernel; its code is silent and counts no cell.

    A request waits for the running cell: while the kernel is busy, query the page instead.
    """

    def __init__(self, connection_file: Path) -> None:
        # Playwright's event loop occupies the test's thread; the client's loop runs in another.
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._loop = asyncio.Runner()
        self._client = AsyncKernelClient(connection_file=str(connection_file))
        self._await(self._open())

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        return self._thread.submit(self._loop.run, work).result()

    async def _open(self) -> None:
        self._client.load_connection_file()
        self._client.start_channels(stdin=False, hb=False)

    def run(self, code: str) -> None:
        """Run statements in the notebook's namespace; raise KernelError if they raise."""
        self._await(self._ask(code, {}))

    def value(self, expression: str) -> Any:
        """Return the value of an expression in the notebook's namespace, transferred as JSON."""
        expressions = {"value": f"__import__('json').dumps({expression})"}
        content = self._await(self._ask("", expressions))
        answer = content["user_expressions"]["value"]
        _raise_error(answer)
        return json.loads(ast.literal_eval(answer["data"]["text/plain"]))

    async def _ask(self, code: str, expressions: dict[str, str]) -> dict[str, Any]:
        reply = await self._client.execute(
            code,
            silent=True,
            store_history=False,
            user_expressions=expressions,
            allow_stdin=False,
            reply=True,
            timeout=TIMEOUT,
        )
        content: dict[str, Any] = reply["content"]
        _raise_error(content)
        return content

    def close(self) -> None:
        """Disconnect from the kernel, which continues to run."""
        self._await(self._close())
        self._thread.submit(self._loop.close).result()
        self._thread.shutdown()

    async def _close(self) -> None:
        self._client.stop_channels()
        self._client.context.term()


def _raise_error(content: dict[str, Any]) -> None:
    if content["status"] != "ok":
        raise KernelError("\n".join(content.get("traceback", [])) or str(content))
