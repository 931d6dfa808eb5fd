"""The front end as it was built from js/, or a sentence in its place."""

import os
from pathlib import Path

STATIC = Path(__file__).parents[1] / "static"
NOT_BUILT = """
const text = "lrwidget's front end is not built: run `npm ci && npm run build` in js/, "
  + "then restart the kernel.";
export default { render({ el }) { el.textContent = text; } };
"""


def bundled(name: str, otherwise: str) -> str | Path:
    """A file of the front end as anywidget takes it; `otherwise` where it is not built.

    The text rather than the file, unless it is to be reloaded live (ANYWIDGET_HMR=1): anywidget
    keeps every widget whose source is a file alive, closed or not.
    """
    file = STATIC / name
    if not file.is_file():
        return otherwise
    # anywidget takes text without a line break that ends like a file name for a path.
    return file if os.environ.get("ANYWIDGET_HMR") == "1" else file.read_text("utf-8") + "\n"
