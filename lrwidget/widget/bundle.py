"""The built front end, or a message if it is not built or no widget can be shown."""

import os
from pathlib import Path
from typing import Any

import traitlets

STATIC = Path(__file__).parents[1] / "static"
NOT_BUILT = """
const text = "lrwidget's front end is not built: run `npm ci && npm run build` in js/, "
  + "then restart the kernel.";
export default { render({ el }) { el.textContent = text; } };
"""

NO_WIDGETS = (
    "No widgets are shown here. In JupyterLab, Notebook 7 or VS Code trust the notebook, or run "
    "the cell again; elsewhere open it in one of these, or use lr_find(...) and records.plot(). "
    "In Google Colab run this first:\n"
    "from google.colab import output; output.enable_custom_widget_manager()"
)


def bundled(name: str, otherwise: str) -> "traitlets.Unicode[str, Any] | Path":
    """Return a front-end file as a trait for anywidget; `otherwise` if it is not built.

    Its value is the text, because anywidget keeps every widget whose source is a file alive even
    after it is closed. With live reload (ANYWIDGET_HMR=1) it is the path.
    """
    file = STATIC / name
    built = file.is_file()
    if built and os.environ.get("ANYWIDGET_HMR") == "1":
        return file
    return traitlets.Unicode(file.read_text("utf-8") if built else otherwise).tag(sync=True)
