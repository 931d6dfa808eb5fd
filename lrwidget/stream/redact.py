"""Removes folders from texts that are saved and shared with the notebook."""

import re
from pathlib import Path

# The start of an absolute path, before its first name: "file://", a drive, or a slash.
ROOT = r"(?:file:/*)?(?:[A-Za-z]:)?[\\/]+"
# Only a quoted path may contain spaces.
QUOTED = re.compile(rf"""(['"])({ROOT}(?!\s)(?:(?!\1)[^\n])*)\1""")
NAME = r"""[^\s\\/'"<>|:*?]+"""
# A slash after a letter, a dot or a tilde starts no absolute path, as in "and/or" or "~/a".
BARE = rf"(?<![\w.~/\\-]){ROOT}{NAME}(?:[\\/]+{NAME})*[\\/]*"
OTHER_URL = r"\b(?!file:)[A-Za-z][A-Za-z\d+.-]+://\S*"


def redact_paths(text: str) -> str:
    """Return the text with bare file names for paths, and "~" for a home folder."""
    text = QUOTED.sub(lambda match: f"{match[1]}{_name(match[2])}{match[1]}", text)
    home = _home()
    anywhere = rf"|{re.escape(home)}(?!\w)" if home else ""

    def shortened(match: re.Match[str]) -> str:
        if match["url"]:
            return match["url"]
        return _name(match[0]) if match["path"] else "~"

    return re.sub(f"(?P<url>{OTHER_URL})|(?P<path>{BARE}){anywhere}", shortened, text)


def _name(path: str) -> str:
    """Return the last name in an absolute path, with trailing slashes or punctuation."""
    found = re.fullmatch(r"(.*?)([\\/.,;)\]}]*)", path)
    assert found
    folders, end = found.groups()
    drive, *names = re.split(r"[\\/]+", re.sub(r"^file:/*(?=[\\/]|[A-Za-z]:)", "", folders))
    of_a_user = len(names) == 2 and names[0] in ("home", "Users")
    if of_a_user or folders == _home():
        return f"~{end}"
    # A single name, such as "/lr/", is probably not a path.
    return names[-1] + end if drive or len(names) > 1 else path


def _home() -> str | None:
    """Return the user's home folder; None if the user has none."""
    try:
        home = Path.home()
    except RuntimeError:  # a container's user without a name
        return None
    return None if home == home.parent else str(home)
