"""A notebook served by Voila, which runs it for each page and shows only its outputs."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat

from tests.browser.harness.kernel import Kernel
from tests.browser.harness.process import ServerProcess, free_port


class Voila(ServerProcess):
    """A running `voila` that serves a notebook of these cells.

    `home` is an empty directory; the kernels run in its subdirectory `notebooks`.
    """

    def __init__(self, home: Path, *cells: str) -> None:
        self.folder = home / "notebooks"
        self.folder.mkdir()
        shutil.copy(Path(__file__).with_name("steps.py"), self.folder)
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        file = self.folder / "notebook.ipynb"
        nbformat.write(notebook, file)
        port = free_port()
        super().__init__(
            home,
            port,
            *("voila", str(file), "--no-browser", "--Voila.ip=127.0.0.1", f"--port={port}"),
            "--Voila.port_retries=0",
            f"--Voila.connection_dir_root={home / 'runtime'}",
        )

    def allow(self, gate: str, times: int) -> None:
        """Let a gate be passed this many times in all: see steps.py."""
        new = self.folder / f"{gate}.new"
        new.write_text(str(times))
        new.replace(self.folder / gate)

    def kernel(self) -> Kernel:
        """Return a second client of the kernel of the most recent page."""
        files = self.runtime.rglob("kernel-*.json")
        return Kernel(max(files, key=lambda file: file.stat().st_mtime))
