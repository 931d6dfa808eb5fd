"""The example notebook of each framework, executed from its first cell to its last."""

import ast
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.adapters.case import FRAMEWORKS

EXAMPLES = Path(__file__).parents[2] / "examples" / "adapters"
WIDGET = "application/vnd.jupyter.widget-view+json"
FACTS = "{'lr': w.lr, 'suggestion': records.suggestion.lr, 'reason': str(records.stop_reason)"
# Where the framework reads its rate, and what the training at it came to: of ten digits, a guess
# has the loss 2.3 and the accuracy 0.1.
ANSWERS = {
    "lightning": ("module.lr", "final_loss < 1"),
    "transformers": ("trainer.args.learning_rate", "log[-1] < log[0] and log[-1] < 2"),
    "fastai": ("learn.lr", "final_accuracy > 0.6"),
    "skorch": ("net.lr", "final_accuracy > 0.6"),
    "accelerate": ("optimizer.param_groups[0]['lr']", "final_loss < 1"),
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_notebook(framework: str, tmp_path: Path) -> None:
    notebook = nbformat.read(EXAMPLES / f"{framework}.ipynb", as_version=4)
    rate, learned = ANSWERS[framework]
    facts = f"{FACTS}, 'rate': {rate}, 'learned': bool({learned})}}"
    notebook.cells.append(nbformat.v4.new_code_cell(facts))
    env = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    # No network: nothing is downloaded, and nobody asks a hub.
    env["HF_HUB_OFFLINE"] = "1"
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}}).execute(
        env=env
    )
    answer: dict[str, Any] = ast.literal_eval(notebook.cells.pop().outputs[0].data["text/plain"])
    assert answer["reason"] in {"finished", "diverged"}
    # Nobody dragged, so the chosen rate is the suggestion.
    assert answer["rate"] == answer["lr"] == answer["suggestion"]
    assert 1e-4 < answer["lr"] < 0.3
    assert answer["learned"]
    outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    assert sum(WIDGET in output.get("data", {}) for output in outputs) >= 1


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_is_committed_without_outputs(framework: str) -> None:
    notebook = nbformat.read(EXAMPLES / f"{framework}.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert "widgets" not in notebook.metadata
