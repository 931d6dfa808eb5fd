"""README and the pages of the site: their code runs, their links lead somewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
import yaml

import lrwidget
import lrwidget.distributed
from tests.markdown import PAGES, ROOT, Block, anchors, blocks, links, prose
from tests.site import build
from tests.test_examples import WIDGET, run

README = ROOT / "README.md"
DOCS = ROOT / "docs"

# What a page takes for granted before the block that holds the mark.
TAKEN_FOR_GRANTED = {
    "w.start()  # what the Start button does": """
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
OTHERS = """
import fastai.callback.schedule, lightning.pytorch as pl, torch
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from torch import nn

torch.manual_seed(0)
x = torch.randn(256, 4)
train_ds = torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True).sin())
loader = torch.utils.data.DataLoader(train_ds, 32, shuffle=True)
model, criterion = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1)), nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters())
learn = Learner(DataLoaders(loader, loader), model, loss_func=criterion)


class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.save_hyperparameters({"lr": 1e-3})
        self.net = nn.Linear(4, 1)

    def training_step(self, batch, index):
        return nn.functional.mse_loss(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)


module, trainer = Module(), pl.Trainer(logger=False, accelerator="cpu")
"""
# In the order in which they are read: what one has defined, the next may use.
READ = ("quickstart", "reading-the-curve", "which-number", "your-loop", "front-ends")
COMING = DOCS / "coming-from.md"
READ = (README, *(DOCS / f"{name}.md" for name in (*READ, "files-and-logs")))
BLOCKS = [
    block for page in PAGES if page == README or DOCS in page.parents for block in blocks(page)
]


def is_run(block: Block) -> bool:
    """Whether a block is code that the tests run."""
    return block.kind == "python" and not block.why_not_run


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_the_pages_show_runs(tmp_path: Path) -> None:
    shown = [block for page in READ for block in blocks(page) if is_run(block)]
    # Networks of other weights would have other curves each time, and perhaps one without a rate.
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell("import torch; torch.manual_seed(0)")]
    for block in shown:
        before = [code for mark, code in TAKEN_FOR_GRANTED.items() if mark in block.code]
        notebook.cells += [nbformat.v4.new_code_cell(code) for code in (*before, block.code)]
    notebook.cells.append(nbformat.v4.new_code_cell("isinstance(lr, float), lr == w.lr"))
    run(notebook, tmp_path)
    assert len(shown) >= 7
    assert WIDGET in notebook.cells[1].outputs[-1].data
    assert notebook.cells[-1].outputs[0].data["text/plain"] == "(True, True)"
    assert (tmp_path / "sweep.jsonl").is_file()


@pytest.mark.full  # tests/adapters has the same forms of lr_find
@pytest.mark.slow
@pytest.mark.framework
def test_the_calls_of_other_finders_and_ours_beside_them_run(tmp_path: Path) -> None:
    shown = [block for block in blocks(COMING) if is_run(block)]
    assert len(shown) == 6
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_code_cell(code) for code in (OTHERS, *(b.code for b in shown))
    ]
    notebook.cells.append(nbformat.v4.new_code_cell("[f'{lr:.2e}' for lr in records.lr[:3]]"))
    run(notebook, tmp_path)
    rates = notebook.cells[-1].outputs[0].data["text/plain"]
    assert rates == "['1.15e-06', '1.32e-06', '1.51e-06']"


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_names_its_language_and_is_run_or_says_why_not(block: Block) -> None:
    assert block.kind, "a block without a language"
    assert (
        (is_run(block) and block.page in (*READ, COMING))
        or block.kind == "text"
        or block.why_not_run
    )


def test_what_is_taken_for_granted_is_still_asked_for() -> None:
    shown = "\n".join(block.code for block in BLOCKS)
    assert [mark for mark in TAKEN_FOR_GRANTED if mark not in shown] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(page: Path) -> None:
    dead = []
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {
        name
        for page in PAGES
        for name in re.findall(r"(?:`|^ *)make ([a-z][\w-]*)", page.read_text("utf-8"), re.M)
    }
    assert {"demo", "test", "docs"} <= named
    assert named - targets == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_of_ours_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    ours = r"`((?:lrwidget|js|tests|benchmarks|docs|examples|scripts)/[\w./-]+)`"
    named = re.findall(ours, text) + re.findall(r"-m ((?:benchmarks|scripts|tests)[\w.]*)", text)
    paths = [name if "/" in name else name.rstrip(".").replace(".", "/") for name in named]
    found = [path for path in paths if any((ROOT / f"{path}{end}").exists() for end in ("", ".py"))]
    to_fill_in = {path for path in paths if "NAME" in path}
    assert set(paths) - set(found) - to_fill_in == set()


def test_what_is_quoted_of_a_benchmark_is_what_its_page_says() -> None:
    # As .186: a regret. Whoever measures anew changes the benchmark's page, and then this fails.
    regret = re.compile(r"(?<![\w.])\.\d{2,3}(?!\w)")
    told = {found for page in ROOT.glob("benchmarks/**/*.md") for found in figures(regret, page)}
    quoted = {page: figures(regret, page) for page in (README, *DOCS.glob("*.md"))}
    assert any(quoted.values())
    assert {page.name: found - told for page, found in quoted.items() if found - told} == {}


def figures(pattern: re.Pattern[str], page: Path) -> set[str]:
    """What a pattern finds in a page, without its code."""
    return set(pattern.findall(prose(page)))


def test_the_readme_is_short() -> None:
    assert len(README.read_bytes()) <= 6000


def pages_of(part: list[str | dict[str, str]]) -> list[str]:
    """The pages of one part of the site, with or without a title of their own."""
    return [next(iter(page.values())) if isinstance(page, dict) else page for page in part]


def test_the_readme_and_the_start_page_lead_to_every_page() -> None:
    # Within a part of the site its first page does.
    entries = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    parts = [next(iter(entry.values())) if isinstance(entry, dict) else entry for entry in entries]
    first = [part if isinstance(part, str) else pages_of(part)[0] for part in parts]
    assert len(first) >= 13
    for page, folder in ((README, "docs/"), (DOCS / "index.md", "")):
        found = {link.partition("#")[0] for link in links(page)}
        wanted = {folder + name for name in first if name != "index.md"}
        assert wanted - found == set()


# -- the site ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    build(folder)
    return folder


class Loaded(HTMLParser):
    """What a page makes a browser fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = dict(attrs)
        self.ids.add(of.get("id") or "")
        if tag != "a":
            self.addresses += [value for name in ("src", "href") if (value := of.get(name))]


@pytest.mark.slow
def test_the_site_builds_strictly_and_loads_nothing_from_another_host(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > len(PAGES) / 2
    for page in pages:
        loaded = Loaded(page.read_text("utf-8")).addresses
        assert loaded
        assert [address for address in loaded if re.match(r"(https?:)?//", address)] == [], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//|@import", style.read_text("utf-8")), style


@pytest.mark.slow
def test_the_site_describes_every_public_name(site: Path) -> None:
    described = Loaded((site / "api.html").read_text("utf-8")).ids
    names = {f"lrwidget.{name}" for name in lrwidget.__all__}
    names |= {f"lrwidget.distributed.{name}" for name in lrwidget.distributed.__all__}
    assert names - described == set()
    # And what a public class has, of which people hold an object. The figure is the page's.
    for owner in (lrwidget.LRFinderWidget, lrwidget.LRRecords):
        own = {name for name in vars(owner) if not name.startswith("_")} - {"figure"}
        assert {f"lrwidget.{owner.__name__}.{name}" for name in own} - described == set()


def test_no_page_names_a_host_that_packages_or_scripts_are_loaded_from() -> None:
    hosts = re.compile(r"pypi\.org|npmjs|jsdelivr|unpkg|cdnjs|googleapis|gstatic", re.I)
    sources = [*PAGES, ROOT / "mkdocs.yml", *ROOT.glob("scripts/*.py")]
    assert [path for path in sources if hosts.search(path.read_text("utf-8"))] == []
