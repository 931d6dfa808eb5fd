"""Executes notebooks in a real kernel."""

from typing import Any

import nbformat
import zmq
from nbclient import NotebookClient


class WakefulClient(NotebookClient):
    """A `NotebookClient` that notices a reply which arrives while it sends.

    When an Output widget changes, nbclient sends on the socket on which it awaits the cell's reply.
    Jupyter's session sends past asyncio's view of that socket, and ZeroMQ signals an arrival only
    once: the reply that came in just before was noticed when the cell's timeout had passed.
    """

    def process_message(
        self, msg: dict[str, Any], cell: nbformat.NotebookNode, cell_index: int
    ) -> nbformat.NotebookNode | None:
        try:
            return super().process_message(msg, cell, cell_index)
        finally:
            assert self.kc is not None
            self.kc.shell_channel.socket.get(zmq.EVENTS)  # makes asyncio look at the socket again
