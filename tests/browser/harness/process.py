"""A server process with an empty directory, its own port and its own Jupyter directories."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

START_TIMEOUT = 120.0  # seconds; the full time passes only if the server does not start


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ServerProcess:
    """A running `python -m MODULE`; `close()` ends it, and it ends its kernels.

    Args:
        home: an empty directory for everything that the server writes.
        port: the port of 127.0.0.1 on which the arguments make it listen.
        command: the module and its arguments.
    """

    def __init__(self, home: Path, port: int, *command: str) -> None:
        self.runtime = home / "runtime"
        self.runtime.mkdir()
        self.log_file = home / "server.log"
        self.url = f"http://127.0.0.1:{port}"
        environment = os.environ | {
            "JUPYTER_CONFIG_DIR": str(home / "config"),
            "JUPYTER_DATA_DIR": str(home / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.runtime),
            "IPYTHONDIR": str(home / "ipython"),
            "MPLCONFIGDIR": str(home / "matplotlib"),
        }
        self._log = self.log_file.open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=home,
            env=environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C interrupts only the test, which calls close()
        )
        try:
            self._wait_until_up(port)
        except BaseException:
            self.close()
            raise

    def _wait_until_up(self, port: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            if self._process.poll() is not None:
                raise RuntimeError(f"the server ended at once:\n{self.log_file.read_text()}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    log = self.log_file.read_text()
                    raise TimeoutError(f"the server did not come up ({error}):\n{log}") from error
            time.sleep(0.1)

    def close(self) -> None:
        """End the server. It ends its kernels, and a kernel also ends when its server is gone."""
        self._process.terminate()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
