"""Take pictures of the widget in JupyterLab, for the README and for visual checks.

python -m tests.browser.screenshots FOLDER      every state, both themes, three widths
python -m tests.browser.screenshots --docs      docs/screenshot.png and docs/demo.webp
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from PIL import Image
from playwright.sync_api import BrowserContext, FloatRect, sync_playwright

from tests.browser.harness.browser import launch
from tests.browser.harness.finder import Finder
from tests.browser.harness.lab import Lab
from tests.browser.harness.pages import VIEWPORT
from tests.browser.harness.server import JupyterServer

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "examples" / "quickstart.ipynb"
STEPS = 100
WIDTHS = (400, 700, 1200)  # of the widget, in pixels
HALFWAY = 55
REFINING = STEPS + 450  # passes of the gate until a trial is in its middle
ENDED = "finished|diverged"  # the loss of the quickstart may diverge before the last step
README_WIDTH = 960
FILLS_ITS_CELL = """
(root) => {
  const right = (element) => element.getBoundingClientRect().right;
  const axes = Math.max(...Array.from(root.querySelectorAll('.bqplot .axis path'), right));
  return Math.abs(right(root) - axes) < 40;
}
"""
SETTLE = "() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))"

# Added to the quickstart's cells: each step waits at a gate, so that a picture shows an exact step.
GATED = """
from steps import Gate
gate = Gate("steps")
torch.set_num_threads(1)

class Gated(nn.CrossEntropyLoss):
    def forward(self, output, target):
        gate.pass_through()
        return super().forward(output, target)

loss_fn = Gated()
"""
FAILING = """
class Failing(Gated):
    def forward(self, output, target):
        if len(w.records) == 40:
            output = output[:, :-1].flatten()
        return super().forward(output, target)

loss_fn = Failing()
"""
EIGHT_RUNS = """
w.start()
w.wait()
for size in (8, 64, 128, 256):
    w.start(batch_size=size)
    w.wait()
for name in ("SGD", "RMSprop"):
    w.start(optimizer=getattr(torch.optim, name))
    w.wait()
w.start(end_lr=10, label="up to 10, for once with a name of some length")
w.wait()
"""


def quickstart_cells() -> list[str]:
    """Return the quickstart's cells up to the widget."""
    notebook = json.loads(QUICKSTART.read_text())
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    return cells[: next(i for i, cell in enumerate(cells) if "LRFinderWidget(" in cell) + 1]


def open_quickstart(lab: Lab, failing: bool = False, allowed: int = 0) -> Finder:
    """Return the idle widget of the quickstart, in a notebook that shows only its cell."""
    *setup, widget = quickstart_cells()
    lab.allow("steps", allowed)
    lab.open("\n".join([*setup, GATED, *([FAILING] if failing else [])]), widget)
    lab.run_cell(0)
    lab.run_cell(1)
    lab.page.evaluate("labTest.cell(0).inputHidden = true")
    finder = Finder(lab)
    finder.wait_until_drawn()
    return finder


def bring_to(finder: Finder, state: str) -> None:
    """Press the buttons that lead from idle to a state."""
    if state == "idle":
        return
    finder.lab.allow("steps", HALFWAY if state == "running" else STEPS)
    finder.button("Start").click()
    if state == "running":
        finder.wait_for_rows(HALFWAY)
    elif state in ("refining", "refined"):
        finder.wait_for_state(ENDED)
        finder.lab.allow("steps", REFINING if state == "refining" else 100_000)
        finder.button("Refine").click()
        finder.wait_for_text("Best so far" if state == "refining" else "Refined rate")
    else:
        finder.wait_for_state(ENDED if state == "finished" else state)


def set_width(finder: Finder, width: int) -> None:
    """Resize the page so that the widget has this width."""
    page, box = finder.lab.page, finder.root.bounding_box()
    assert page.viewport_size is not None
    assert box is not None
    around = page.viewport_size["width"] - round(box["width"])
    page.set_viewport_size({"width": width + around, "height": 1100})
    settle(finder)


def open_runs(lab: Lab) -> Finder:
    """Return the quickstart's widget with eight runs."""
    finder = open_quickstart(lab, allowed=100_000)
    lab.kernel.run(EIGHT_RUNS)
    finder.wait_for_state(ENDED)
    return finder


def settle(finder: Finder) -> None:
    """Wait until marker and chart no longer change."""
    finder.root.scroll_into_view_if_needed()
    # bqplot redraws a chart some time after its cell has changed its width.
    finder.lab.wait_for("the chart's width", lambda: finder.root.evaluate(FILLS_ITS_CELL))
    last = None
    while (now := finder.root.screenshot(animations="disabled")) != last:
        last = now
        finder.lab.page.evaluate(SETTLE)


@contextmanager
def browser_and_server() -> Iterator[tuple[BrowserContext, JupyterServer]]:
    """Yield a browser and a server to take pictures with."""
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        context = launch(playwright.chromium, Path(home, "profile"), viewport=VIEWPORT)
        server = JupyterServer(Path(home))
        try:
            yield context, server
        finally:
            context.close()
            server.close()


def all_states(context: BrowserContext, server: JupyterServer, folder: Path) -> None:
    """Save a picture for each state, theme and width."""
    for state in ("idle", "running", "finished", "failed", "runs", "refining", "refined"):
        lab = Lab(server, context.new_page(), state)
        if state == "runs":
            finder = open_runs(lab)
        else:
            finder = open_quickstart(lab, failing=state == "failed")
            bring_to(finder, state)
        for theme in ("light", "dark"):
            lab.theme("light" if theme == "light" else "dark")
            for width in WIDTHS:
                set_width(finder, width)
                shot(finder).save(folder / f"{state}-{theme}-{width}.png")
        lab.theme("light")
        assert not lab.errors, lab.errors
        lab.close(keep_kernel=True)


def shot(finder: Finder) -> Image.Image:
    """Return a picture of the widget with a small border."""
    page = finder.lab.page
    box = finder.root.bounding_box()
    assert box is not None
    room = 4
    clip: FloatRect = {
        "x": box["x"] - room,
        "y": box["y"] - room,
        "width": box["width"] + 2 * room,
        "height": box["height"] + 2 * room,
    }
    return Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")


def same_size(images: list[Image.Image]) -> list[Image.Image]:
    """Pad the pictures to the same size: the widget grows when it shows more text."""
    size = (max(i.width for i in images), max(i.height for i in images))
    canvases = [Image.new("RGB", size, "white") for _ in images]
    for canvas, image in zip(canvases, images, strict=True):
        canvas.paste(image)
    return canvases


def has_reached(finder: Finder, step: int) -> bool:
    """Return whether this many rows are drawn, or the sweep has ended."""
    return len(finder.rows) == step or finder.button("Start").is_visible()


def for_readme(context: BrowserContext, server: JupyterServer, folder: Path) -> None:
    """Save the pictures of the README: a still one and an animation."""
    lab = Lab(server, context.new_page(), "readme")
    lab.page.set_viewport_size({"width": README_WIDTH, "height": 900})
    finder = open_quickstart(lab)
    lab.page.evaluate("labTest.cell(1).inputHidden = true")
    settle(finder)
    frames = [(shot(finder), 800)]
    finder.button("Start").click()
    for step in range(2, STEPS + 1, 2):
        lab.allow("steps", step)
        lab.wait_for("a step, or the end", partial(has_reached, finder, step))
        frames.append((shot(finder), 60))
        if len(finder.rows) < step:
            break
    finder.wait_for_state(ENDED)
    settle(finder)
    finished = shot(finder)
    finished.quantize(128).save(folder / "screenshot.png", optimize=True)
    frames.append((finished, 1500))
    for _ in range(8):
        finder.slider("Smoothing").press("ArrowLeft")
        frames.append((shot(finder), 80))
    frames.append((shot(finder), 800))
    images = same_size([image for image, _ in frames])
    images[0].save(
        folder / "demo.webp",
        save_all=True,
        append_images=images[1:],
        duration=[duration for _, duration in frames],
        loop=0,
        quality=60,
        method=4,
    )
    assert not lab.errors, lab.errors
    lab.close(keep_kernel=True)


def main() -> None:
    """Take the pictures that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="where all states go")
    parser.add_argument("--docs", action="store_true", help="renew the pictures of the README")
    options = parser.parse_args()
    if not (options.folder or options.docs):
        parser.error("name a folder, or say --docs")
    with browser_and_server() as (context, server):
        if options.folder:
            options.folder.mkdir(parents=True, exist_ok=True)
            all_states(context, server, options.folder)
        if options.docs:
            (ROOT / "docs").mkdir(exist_ok=True)
            for_readme(context, server, ROOT / "docs")


if __name__ == "__main__":
    main()
