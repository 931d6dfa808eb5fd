"""The files around the sources: workflows, hooks, changelog, citation."""

import os
import re
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

import lrwidget
from tests.test_package import run

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z][\w-]*):", MAKEFILE, re.M))


def parsed(path: Path) -> dict[Any, Any]:
    found = yaml.safe_load(path.read_text("utf-8"))
    assert isinstance(found, dict)
    return found


def triggers(workflow: dict[Any, Any]) -> dict[str, Any]:
    found = workflow[True]  # YAML 1.1 reads the key `on` as a truth value
    assert isinstance(found, dict)
    return found


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job.get("steps", [])]


def made_by(workflow: dict[Any, Any]) -> set[str]:
    """Return what each `run:` of the workflow runs, for every entry of its matrix."""
    found = set()
    for job in workflow["jobs"].values():
        matrix = job.get("strategy", {}).get("matrix", {"": [""]})
        ((name, values),) = matrix.items()
        for step, value in product(job.get("steps", []), values):
            if "run" in step:
                found.add(step["run"].replace(f"${{{{ matrix.{name} }}}}", value))
    return found


# -- workflows


def test_there_is_a_workflow_for_each_habit() -> None:
    assert {path.stem for path in WORKFLOWS} == {"check", "docs", "full", "release"}
    by_name = {path.stem: parsed(path) for path in WORKFLOWS}
    assert {"push", "pull_request"} <= set(triggers(by_name["check"]))
    assert "schedule" in triggers(by_name["full"])
    assert triggers(by_name["release"]) == {"push": {"tags": ["v*"]}}
    assert made_by(by_name["full"]) == {"make test-full"}
    assert made_by(by_name["docs"]) == {"make docs"}
    assert made_by(by_name["release"]) == {"make release-check"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_runs_targets_of_make_and_nothing_else(path: Path) -> None:
    for command in made_by(parsed(path)):
        words = command.split()
        assert words[0] == "make"
        assert words[1:]
        assert set(words[1:]) <= TARGETS, command


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_its_commit_and_names_its_version(path: Path) -> None:
    used = re.findall(r"^\s*(?:- )?uses: (.*)$", path.read_text("utf-8"), re.M)
    assert used
    for action in used:
        local = action.startswith("./") and (ROOT / action).is_file()
        assert local or re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_one_action_has_one_commit() -> None:
    used = [step["uses"] for path in WORKFLOWS for step in steps(parsed(path)) if "uses" in step]
    assert len({action.partition("@")[0] for action in used}) == len(set(used)) > 5


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_only_read_unless_a_job_says_more(path: Path) -> None:
    workflow = parsed(path)
    assert workflow["permissions"] in ({}, {"contents": "read"})
    may_write = {
        name
        for name, job in workflow["jobs"].items()
        if "write" in job.get("permissions", {}).values()
    }
    assert may_write == ({"publish"} if path.stem in ("docs", "release") else set())
    for name in may_write:  # where no command runs
        assert not any("run" in step for step in workflow["jobs"][name]["steps"])
    for step in steps(workflow):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"] == {"persist-credentials": False}


def test_what_is_released_was_checked_and_is_attested() -> None:
    jobs = parsed(GITHUB / "workflows" / "release.yml")["jobs"]
    assert jobs["check"]["uses"] == "./.github/workflows/check.yml"
    assert jobs["build"]["needs"] == "check"
    assert jobs["publish"]["needs"] == "build"
    used = [step["uses"].partition("@")[0] for step in jobs["publish"]["steps"]]
    assert used == [
        "actions/download-artifact",
        "actions/attest-build-provenance",
        "pypa/gh-action-pypi-publish",
    ]


def recipe(target: str) -> str:
    """Return the commands of a target of make."""
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.M)
    assert found, target
    return found[1]


def selects(target: str, marks: dict[str, bool]) -> bool:
    """Return whether a target runs the tests with these marks, and those without the others."""
    (expression,) = re.findall(r"-m [\"']([^\"']+)[\"']", recipe(target))
    return bool(eval(expression, {"__builtins__": {}}, marks))


def test_the_workflows_run_what_ci_run_runs() -> None:
    """`make test` is lint and types, then all tests that are not marked as `full`."""
    assert (ROOT / ".ci" / "run").read_text("utf-8").splitlines()[-1] == "exec make test"
    assert re.search(r"^test: .*\n\t@\$\(MAKE\) .* static pytest ", MAKEFILE, re.M)
    made = made_by(parsed(GITHUB / "workflows" / "check.yml"))
    parts = {command.removeprefix("make ") for command in made}
    assert "static" in parts
    parts -= {"static"}
    names = ("browser", "framework", "process", "slow", "full")
    for flags in product((False, True), repeat=len(names)):
        marks = dict(zip(names, flags, strict=True))
        assert any(selects(part, marks) for part in parts) == selects("test", marks), marks


# -- hooks before a commit

HOOKS = ROOT / ".pre-commit-config.yaml"


@pytest.mark.process
@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("a.py", "import sys\nimport os\nprint(os,sys)\n", None),  # no print
        ("a.py", "import sys\nimport os\nx=os,sys\n", "import os\nimport sys\n\nx = os, sys\n"),
        ("js/src/a.ts", "export const a = {b:1}\n", "export const a = { b: 1 };\n"),
        ("a.md", "trailing \n", None),
        ("a.md", "no blank\n\n\n", None),
    ],
)
def test_a_hook_mends_or_refuses(tmp_path: Path, name: str, before: str, after: str | None) -> None:
    """In a repository of its own, with the tools of this one."""
    for path in (".pre-commit-config.yaml", "js/.prettierignore", "js/.prettierrc.json"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    (tmp_path / "pyproject.toml").write_text('[tool.ruff.lint]\nselect = ["I", "T20"]\n')
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "js" / "node_modules").symlink_to(ROOT / "js" / "node_modules")
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(before)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    run("git", "init", "--quiet", cwd=tmp_path)
    run("git", "add", name, cwd=tmp_path)

    def hooks() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pre_commit", "run", "--files", name],
            check=False,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "home")},
        )

    refused = hooks()
    assert refused.returncode == 1, refused.stdout + refused.stderr
    if after is None:
        assert hooks().returncode == 1
        return
    assert file.read_text() == after
    run(*git, "add", name, cwd=tmp_path)
    assert hooks().returncode == 0


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_no_file_has_blanks_at_the_end_of_a_line_or_of_the_file() -> None:
    (entry,) = [
        hook["entry"] for hook in parsed(HOOKS)["repos"][0]["hooks"] if hook["id"] == "whitespace"
    ]
    run(*entry.split(), cwd=ROOT)


# -- what is said of a version


def test_the_changelog_begins_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    headings = re.findall(r"^## (.*)$", text, re.M)
    versions = [re.fullmatch(r"(\d+\.\d+\.\d+) - \d{4}-\d\d-\d\d", heading) for heading in headings]
    assert all(versions), headings
    numbers = [version[1] for version in versions if version]
    assert numbers[0] == lrwidget.__version__
    assert numbers[-1] == "0.1.0"
    assert numbers == sorted(numbers, key=lambda v: [int(n) for n in v.split(".")], reverse=True)
    kinds = set(re.findall(r"^### (.*)$", text, re.M))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_citation_is_of_this_version() -> None:
    citation = parsed(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert citation["title"] == "lrwidget"
    assert citation["version"] == lrwidget.__version__
    assert citation["license"] == "MIT"
    assert all(set(author) == {"name"} for author in citation["authors"])


# -- the guide

GUIDE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def test_the_guide_names_every_room() -> None:
    python, script = re.findall(r"^## The rooms of `(?:.*?)`.*?\n(.*?)(?=^## )", GUIDE, re.M | re.S)
    named = re.findall(r"^\| `(\w+)/` \|", python, re.M)
    assert sorted(named) == sorted(f.parent.name for f in ROOT.glob("lrwidget/*/__init__.py"))
    named = [name for row in re.findall(r"^\| (`.*?`) \|", script, re.M) for name in row.split()]
    source = ROOT / "js" / "src"
    rooms = [f"`{path.name}/`" for path in source.iterdir() if path.is_dir()]
    files = [f"`{path.name}`" for path in source.glob("*.ts") if not path.name.endswith(".d.ts")]
    assert sorted(named) == sorted(rooms + files)


def test_the_guide_names_files_that_there_are() -> None:
    """And it is a page: those who read it have something to do."""
    paths = [path for path in re.findall(r"`([\w./-]+\.\w+)`", GUIDE) if "/" in path]
    paths = [path for path in paths if "NAME" not in path]
    assert len(paths) >= 10
    assert [path for path in paths if not (ROOT / path).exists()] == []
    targets = re.findall(r"`make ([\w-]+)`", GUIDE)
    assert {"quick", "test", "hooks", "release-check"} <= set(targets) <= TARGETS
    assert len(GUIDE.splitlines()) <= 120


# -- issues and pull requests


def test_an_issue_form_asks_for_what_is_needed() -> None:
    forms = [parsed(GITHUB / "ISSUE_TEMPLATE" / name) for name in ("bug.yml", "idea.yml")]
    for form in forms:
        assert {"name", "description", "body"} <= set(form)
        ids = [field["id"] for field in form["body"]]
        assert len(set(ids)) == len(ids)
        for field in form["body"]:
            assert field["type"] == "textarea"
            assert field["attributes"]["label"]
    needed = {
        field["id"] for field in forms[0]["body"] if field.get("validations", {}).get("required")
    }
    assert needed == {"what", "code", "versions"}
    assert len((GITHUB / "pull_request_template.md").read_text("utf-8").splitlines()) <= 10


def test_every_list_of_dependencies_is_kept_up_to_date() -> None:
    updates = parsed(GITHUB / "dependabot.yml")["updates"]
    found = {
        (update["package-ecosystem"], folder)
        for update in updates
        for folder in update.get("directories", [update.get("directory")])
    }
    locks = {
        "/" + str(path.parent.relative_to(ROOT))
        for path in (ROOT / "js", ROOT / "tests")
        for path in [*path.glob("package-lock.json"), *path.glob("browser/*/package-lock.json")]
    }
    assert len(locks) == 2
    assert found == {("github-actions", "/"), ("pip", "/"), *(("npm", lock) for lock in locks)}
