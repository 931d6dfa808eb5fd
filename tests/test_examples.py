"""The example notebooks, executed from the first cell to the last in a real kernel."""

import ast
import os
import re
import struct
import subprocess
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from sklearn.datasets import load_digits

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
WIDGET = "application/vnd.jupyter.widget-view+json"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def execute(
    name: str, folder: Path, **facts: str
) -> tuple[nbformat.NotebookNode, dict[str, object]]:
    """Run the notebook in `folder`; returns it, and the value of each expression in `facts`.

    The expressions are evaluated in the notebook's kernel after its last cell.
    """
    notebook = nbformat.read(EXAMPLES / name, as_version=4)
    question = ", ".join(f"{key!r}: {expression}" for key, expression in facts.items())
    notebook.cells.append(nbformat.v4.new_code_cell(f"{{{question}}}"))
    run(notebook, folder)
    answer = notebook.cells.pop().outputs[0].data["text/plain"]
    return notebook, ast.literal_eval(answer)


def run(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Execute the notebook in `folder`, as a user's kernel does: figures are shown."""
    env = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(folder)}}).execute(
        env=env
    )


def shown(notebook: nbformat.NotebookNode, kind: str) -> int:
    """How many outputs of the notebook carry this MIME type."""
    return sum(
        kind in output.get("data", {})
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )


RUN = {
    "columns": "list(records.frame.columns)",
    "rates": "records.frame['lr'].tolist()",
    "losses": "records.frame['loss'].tolist()",
    "stop_reason": "str(records.stop_reason)",
    "state": "str(w.state)",
    "lr": "lr",
    "suggestion": "records.suggestion.lr",
}


@pytest.mark.parametrize("name", ["quickstart.ipynb", "mnist.ipynb", "linking.ipynb"])
def test_is_committed_without_outputs(name: str) -> None:
    # The committed file: JupyterLab has saved outputs into the one on disk if the demo was run.
    git = ["git", "-C", str(ROOT), "show", f"HEAD:examples/{name}"]
    committed = subprocess.run(git, check=True, capture_output=True, text=True).stdout
    notebook = nbformat.reads(committed, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert "widgets" not in notebook.metadata


def test_quickstart(tmp_path: Path) -> None:
    notebook, facts = execute(
        "quickstart.ipynb",
        tmp_path,
        **RUN,
        trained="curves.columns.tolist()",
        first="curves.iloc[:20].mean().tolist()",
        last="curves.iloc[-20:].mean().tolist()",
    )
    rates, losses = facts["rates"], facts["losses"]
    assert facts["columns"] == ["lr", "loss"]
    assert rates[:3] == pytest.approx([1.1482e-06, 1.3183e-06, 1.5136e-06], rel=1e-4)
    assert facts["stop_reason"] in {"finished", "diverged"}
    assert facts["state"] == facts["stop_reason"]
    assert 60 <= len(rates) == len(losses) <= 100
    # Nobody dragged, so the chosen rate is the suggestion; it lies in the fall of the curve, which
    # for this network spans the two decades around 1e-3.
    assert facts["lr"] == facts["suggestion"]
    assert 1e-4 < facts["lr"] < 3e-2
    # Training at the pick learns, and in this short time more than at a tenth of it.
    tenth, pick, _ten_times = facts["last"]
    assert pick < 0.5 * facts["first"][1]
    assert pick < tenth
    assert len(facts["trained"]) == 3
    assert shown(notebook, WIDGET) == 1
    assert shown(notebook, "image/png") == 1


def test_linking(tmp_path: Path) -> None:
    # setattr: the facts are expressions.
    _, facts = execute(
        "linking.ipynb",
        tmp_path,
        suggested="picks == [w.suggestion] and rate.value == w.lr",
        picked="setattr(w, 'lr', 0.01) or [picks[-1], rate.value]",
        typed="setattr(rate, 'value', 0.02) or [w.lr, picks[-1]]",
        slid="setattr(smoothing, 'value', 0.5) or w.smoothing",
    )
    assert facts == {"suggested": True, "picked": [0.01] * 2, "typed": [0.02] * 2, "slid": 0.5}


def idx(array: np.ndarray) -> bytes:
    """The array in MNIST's own file format: big-endian header, then the bytes."""
    header = struct.pack(">HBB", 0, 0x08, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_mnist(folder: Path) -> None:
    """Real handwritten digits, 28×28, where torchvision looks for MNIST."""
    digits = load_digits()
    scaled = np.kron(digits.images, np.ones((1, 3, 3))) * (255 / 16)  # (1797, 24, 24)
    images = np.pad(scaled, ((0, 0), (2, 2), (2, 2)))
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file, array in {
        "train-images-idx3-ubyte": images[:1500],
        "train-labels-idx1-ubyte": digits.target[:1500],
        "t10k-images-idx3-ubyte": images[1500:],
        "t10k-labels-idx1-ubyte": digits.target[1500:],
    }.items():
        (raw / file).write_bytes(idx(array))


def test_mnist_on_files_in_its_format(tmp_path: Path) -> None:
    write_mnist(tmp_path / "data")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*ubyte")}
    notebook, facts = execute(
        "mnist.ipynb", tmp_path, **RUN, shape="tuple(train_set.data.shape)", size="len(train_set)"
    )
    assert facts["shape"] == (1500, 28, 28)
    assert facts["columns"] == ["lr", "loss"]
    # The reference article's data frame: 100 rows, 1.15e-06, 1.32e-06, 1.51e-06, ..., 1.
    assert len(facts["rates"]) == 100
    assert [f"{rate:.2e}" for rate in facts["rates"][:3]] == ["1.15e-06", "1.32e-06", "1.51e-06"]
    assert facts["rates"][-1] == 1.0
    assert facts["stop_reason"] == facts["state"] == "finished"
    # And its finding: the loss falls, then explodes; a good rate is near 1e-3.
    losses = np.array(facts["losses"])
    start = losses[:20].mean()
    assert losses.min() < 0.6 * start
    assert losses[-5:].mean() > start
    assert facts["lr"] == facts["suggestion"]
    assert 1e-4 < facts["lr"] < 1e-2
    assert shown(notebook, WIDGET) == 1
    assert shown(notebook, "image/png") == 1
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*ubyte")} == before


# What the README takes for granted before each of its blocks.
TAKEN_FOR_GRANTED = {
    "w.start()": """
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters())
train_loader = torch.utils.data.DataLoader(data, batch_size=32)
""",
    "def step(batch)": """
model = nn.Linear(4, 4)
optimizer = torch.optim.Adam(model.parameters())
images = [torch.randn(8, 4)] * 5
""",
}


def test_what_the_readme_shows_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    # What needs a cluster is in tests/distributed.
    blocks = [block for block in blocks if "RayRunner" not in block]
    assert len(blocks) == 6
    notebook = nbformat.v4.new_notebook()
    for block in blocks:
        before = [code for mark, code in TAKEN_FOR_GRANTED.items() if mark in block]
        notebook.cells += [nbformat.v4.new_code_cell(code) for code in (*before, block)]
    notebook.cells.append(nbformat.v4.new_code_cell("isinstance(lr, float), lr == w.lr"))
    run(notebook, tmp_path)
    assert WIDGET in notebook.cells[0].outputs[-1].data
    assert notebook.cells[-1].outputs[0].data["text/plain"] == "(True, True)"
    assert (tmp_path / "sweep.jsonl").is_file()


def test_what_the_readme_links_to_is_there() -> None:
    readme = (ROOT / "README.md").read_text()
    links = re.findall(r"(?:\]\(|src=\")(?!http)([^)\"#]+)", readme)
    assert [link for link in links if not (ROOT / link).is_file()] == []
