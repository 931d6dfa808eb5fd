"""The example notebook of each framework, executed from its first cell to its last.

All run in one kernel, since imports took half of the time of each.
"""

import ast
import os
from pathlib import Path

import nbformat
import pytest

from tests.adapters.case import FRAMEWORKS
from tests.notebook_client import WakefulClient

EXAMPLES = Path(__file__).parents[2] / "examples" / "adapters"
WIDGET = "application/vnd.jupyter.widget-view+json"
FACTS = "{'lr': w.lr, 'suggestion': records.suggestion.lr, 'reason': str(records.stop_reason)"
# Where the framework reads its rate, and a test of the training at it: for ten digits, a guess
# has the loss 2.3 and the accuracy 0.1.
ANSWERS = {
    "lightning": ("module.lr", "final_loss < 1"),
    "transformers": ("trainer.args.learning_rate", "log[-1] < log[0] and log[-1] < 2"),
    "fastai": ("learn.lr", "final_accuracy > 0.6"),
    "skorch": ("net.lr", "final_accuracy > 0.6"),
    "accelerate": ("optimizer.param_groups[0]['lr']", "final_loss < 1"),
}


# Removes the names of other notebooks and the state that Accelerate shares within a process.
AFRESH = """
%reset -f
%cd -q {folder}
import sys
if "accelerate.state" in sys.modules:
    sys.modules["accelerate.state"].AcceleratorState._reset_state(reset_partial_state=True)
    sys.modules["accelerate.state"].GradientState._reset_state()
del sys
"""


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[nbformat.NotebookNode]]:
    """Return each notebook's executed code cells, and a last cell that outputs the facts."""
    parts: dict[str, list[nbformat.NotebookNode]] = {}
    together = nbformat.v4.new_notebook()
    for framework in FRAMEWORKS:
        afresh = AFRESH.format(folder=tmp_path_factory.mktemp(framework))
        rate, learned = ANSWERS[framework]
        facts = f"{FACTS}, 'rate': {rate}, 'learned': bool({learned})}}"
        notebook = nbformat.read(EXAMPLES / f"{framework}.ipynb", as_version=4)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        parts[framework] = [nbformat.v4.new_code_cell(afresh), *cells]
        parts[framework].append(nbformat.v4.new_code_cell(facts))
        together.cells += parts[framework]
    env = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    # Nothing is downloaded, and no hub is asked.
    env["HF_HUB_OFFLINE"] = "1"
    # An error in one notebook must not stop the others.
    WakefulClient(together, timeout=500, allow_errors=True).execute(env=env)
    return parts


@pytest.mark.slow
@pytest.mark.framework
@pytest.mark.process
@pytest.mark.timeout(600)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_notebook(framework: str, executed: dict[str, list[nbformat.NotebookNode]]) -> None:
    outputs = [output for cell in executed[framework] for output in cell.outputs]
    errors = ["\n".join(o.traceback) for o in outputs if o.output_type == "error"]
    assert not errors, errors[0]
    answer = ast.literal_eval(outputs[-1].data["text/plain"])
    assert answer["reason"] in {"finished", "diverged"}
    # The marker was not dragged, so the chosen rate is the suggestion.
    assert answer["rate"] == answer["lr"] == answer["suggestion"]
    assert 1e-4 < answer["lr"] < 0.3
    assert answer["learned"]
    assert sum(WIDGET in output.get("data", {}) for output in outputs) >= 1


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_is_committed_without_outputs(framework: str) -> None:
    notebook = nbformat.read(EXAMPLES / f"{framework}.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert "widgets" not in notebook.metadata
