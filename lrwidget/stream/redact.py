"""Texts without the folders of this machine: they are saved and shared with the notebook."""

import re
from pathlib import Path

# An absolute path up to its first name: of a URL "file://", with a drive, or neither.
ROOT = r"(?:file:/*)?(?:[A-Za-z]:)?[\\/]+"
# In quotes a path may have spaces in it.
QUOTED = re.compile(rf"""(['"])({ROOT}(?!\s)(?:(?!\1)[^\n])*)\1""")
NAME = r"""[^\s\\/'"<>|:*?]+"""
# What follows a letter, a dot or a tilde is part of something else, as in "and/or" or "~/a".
BARE = rf"(?<![\w.~/\\-]){ROOT}{NAME}(?:[\\/]+{NAME})*[\\/]*"
OTHER_URL = r"\b(?!file:)[A-Za-z][A-Za-z\d+.-]+://\S*"


def redact_paths(text: str) -> str:
    """A message or traceback with bare file names, and "~" for a home folder."""
    text = QUOTED.sub(lambda match: f"{match[1]}{_name(match[2])}{match[1]}", text)
    home = _home()
    anywhere = rf"|{re.escape(home)}(?!\w)" if home else ""

    def shortened(match: re.Match[str]) -> str:
        if match["url"]:
            return match["url"]
        return _name(match[0]) if match["path"] else "~"

    return re.sub(f"(?P<url>{OTHER_URL})|(?P<path>{BARE}){anywhere}", shortened, text)


def _name(path: str) -> str:
    """The last name in an absolute path, with what ends it: a slash or a sentence's dot."""
    found = re.fullmatch(r"(.*?)([\\/.,;)\]}]*)", path)
    assert found
    folders, end = found.groups()
    drive, *names = re.split(r"[\\/]+", re.sub(r"^file:/*(?=[\\/]|[A-Za-z]:)", "", folders))
    of_a_user = len(names) == 2 and names[0] in ("home", "Users")
    if of_a_user or folders == _home():
        return f"~{end}"
    # One name alone, "/lr/", is no more of a path than "and/or" is.
    return names[-1] + end if drive or len(names) > 1 else path


def _home() -> str | None:
    """The user's home folder; None where there is none of one's own."""
    try:
        home = Path.home()
    except RuntimeError:  # a container's user without a name
        return None
    return None if home == home.parent else str(home)
