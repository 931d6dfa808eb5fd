"""The display of records and of check results in a notebook, as HTML and plain text."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import Literal, Protocol

import numpy as np
import pandas as pd

from lrwidget.curve.suggest import Suggestion
from lrwidget.records.picture import HEIGHT, WIDTH, rate_text, sweep_picture, trials_picture
from lrwidget.records.table import RecordsTable, StopReason
from lrwidget.records.trial_loss import LOSSES

# Limits of a shown table; a row of "…" stands for the rows left out.
MOST_CELLS = 600
MOST_COLUMNS = 8
MOST_ROWS = 100
# Rows at each end of the table in plain text.
PLAIN_ROWS = 5


Kinds = Collection[str] | None


class Trials(Protocol):
    """The part of `CheckResults` that is displayed."""

    lrs: list[float]

    @property
    def trials(self) -> Sequence[RecordsTable]:
        """The records of each rate."""

    @property
    def summary(self) -> pd.DataFrame:
        """One row a rate."""

    @property
    def not_the_rates(self) -> str:
        """Why there is no best rate, where that is laid to the data."""

    @property
    def best(self) -> float | None:
        """The best rate; None if there is none."""

    @property
    def ranked_by(self) -> str:
        """The column of the summary that determines the best rate."""


class Refined(Protocol):
    """The part of `Refinement` that is displayed."""

    held_out: str

    @property
    def lr(self) -> float | None:
        """The rate; None if there is none."""

    @property
    def confidence(self) -> Literal["high", "low"]:
        """How far to trust the rate."""

    @property
    def reason(self) -> str:
        """How the rate was found, in words."""

    @property
    def best(self) -> float | None:
        """The rate of the best trial."""

    @property
    def frame(self) -> pd.DataFrame:
        """One row for each step."""

    @property
    def summary(self) -> pd.DataFrame:
        """One row for each rate."""


def show_records(
    records: RecordsTable,
    suggestion: Suggestion,
    refinement: Refined | None = None,
    include: Kinds = None,
    exclude: Kinds = None,
) -> dict[str, str]:
    """Return the records as HTML and as plain text, by MIME type; 40 kB at most.

    Args:
        records: a table to which no rows are added during the call.
        suggestion: the suggestion for these records.
        refinement: what trials after the sweep came to.
        include: MIME types to return; None returns all.
        exclude: MIME types to leave out.
    """
    options = records.meta.get("options")
    spacing = options.get("spacing") if isinstance(options, Mapping) else None
    picture = sweep_picture(
        records.sweeps,
        suggestion,
        refined=None if refinement is None else refinement.lr,
        linear=spacing == "linear",
    )
    found = [_found("Suggested learning rate", suggestion)]
    if refinement is not None:
        found.insert(0, _found("Refined learning rate", refinement))
    return _wanted(_bundle(picture, found, _facts(records), records.frame), include, exclude)


def show_check(results: Trials, include: Kinds = None, exclude: Kinds = None) -> dict[str, str]:
    """Return the results of a check as HTML and as plain text; arguments as in `show_records`."""
    summary = results.summary
    trials = [trial.loss for trial in results.trials]
    picture = trials_picture(results.lrs, trials, results.best)
    by = results.ranked_by
    ended = summary[np.isfinite(summary[by])].sort_values(by, kind="stable")
    ranking = [
        f"{rate_text(lr)} ({_number(final)})"
        for lr, final in zip(ended.lr.head(MOST_COLUMNS), ended[by], strict=False)
    ]
    if len(ended) > len(ranking):
        ranking.append(f"{len(ended) - len(ranking)} more")
    if results.best is None:
        found, why = "No best learning rate", _ends(results)
    else:
        found = f"Best learning rate {rate_text(results.best)}"
        why = f"by the {LOSSES[by]}: " + ", ".join(ranking)
        broken = len(summary) - len(ended)
        if broken:
            why += f"; {broken} of {len(summary)} without a finite one"
    facts = f"{len(summary)} rate{_s(len(summary))}, up to {max(map(len, trials))} steps each"
    return _wanted(_bundle(picture, [(found, why)], facts, summary), include, exclude)


def show_refinement(
    result: Refined, include: Kinds = None, exclude: Kinds = None
) -> dict[str, str]:
    """Return the trials and the result of a refinement, in the same way."""
    summary, frame = result.summary, result.frame
    lrs = [float(lr) for lr in summary.lr]
    picture = trials_picture(
        lrs, [frame.loss[frame.lr == lr].to_numpy() for lr in lrs], result.best
    )
    found = [_found("Learning rate", result)]
    facts = f"judged by {result.held_out}" if result.held_out else "no steps yet"
    return _wanted(_bundle(picture, found, facts, summary), include, exclude)


def _found(name: str, result: Refined | Suggestion) -> tuple[str, str]:
    """Return the rate in words, and the reason for it."""
    if result.lr is None:
        return f"No {name[0].lower()}{name[1:]}", result.reason
    doubt = "" if result.confidence == "high" else " (low confidence)"
    return f"{name} {rate_text(result.lr)}{doubt}", result.reason


def _wanted(bundle: dict[str, str], include: Kinds, exclude: Kinds) -> dict[str, str]:
    return {
        kind: text
        for kind, text in bundle.items()
        if (include is None or kind in include) and kind not in (exclude or ())
    }


def _ends(results: Trials) -> str:
    """Return why none of the trials is the best."""
    reasons = [trial.stop_reason for trial in results.trials]
    if not any(map(len, results.trials)):
        return "no steps yet"
    if results.not_the_rates:
        return results.not_the_rates
    if all(reason is StopReason.NON_FINITE for reason in reasons):
        return "the loss was not finite at any; try lower ones"
    ends = [
        f"{rate_text(lr)} {'not tried' if reason is None else reason.value}"
        for lr, reason in zip(results.lrs[:MOST_COLUMNS], reasons, strict=False)
    ]
    return ", ".join(ends)


def _facts(records: RecordsTable) -> str:
    """Return the number of steps, the range, the lowest loss and the stop reason, as text."""
    if not len(records):
        return "no steps yet"
    lr, loss = records.lr, records.loss
    sweeps = len(records.sweep_starts)
    facts = [
        f"{len(records)} step{_s(len(records))}" + (f" in {sweeps} sweeps" if sweeps > 1 else "")
    ]
    facts.append(f"lr {rate_text(lr.min())} to {rate_text(lr.max())}")
    finite = loss[np.isfinite(loss)]
    facts.append(f"lowest loss {_number(finite.min())}" if finite.size else "no finite loss")
    facts.append(records.end)
    return ", ".join(filter(None, facts))


def _bundle(
    picture: str | None, found: Sequence[tuple[str, str]], facts: str, table: pd.DataFrame
) -> dict[str, str]:
    """Return picture, text and table as HTML and as plain text.

    The picture is an <img>, not an inline <svg>: sanitizers strip inline elements and leave their
    text behind (JupyterLab until a notebook is trusted, GitHub always), and the styles of the page
    would apply to them. There is no image/svg+xml: only nbconvert's LaTeX and PDF would use it, and
    they fail on it without Inkscape; they and terminals show the plain text.
    """
    image = "" if picture is None else _image(picture, f"{found[0][0]}. {facts}.")
    folded = f"<p>{escape(facts)}</p>"
    plain = [*(f"{rate}: {why}" for rate, why in found), facts]
    if len(table):
        table = table.iloc[:, :MOST_COLUMNS]
        folded = f"<details><summary>{escape(facts)}</summary>{_html_table(table)}</details>"
        plain += ["", *_plain_table(table)]
    words = "".join(f"<p><b>{escape(rate)}</b>: {escape(why)}</p>" for rate, why in found)
    return {"text/html": f"<div>{image}{words}{folded}</div>", "text/plain": "\n".join(plain)}


def _image(picture: str, words: str) -> str:
    """Return the picture as an <img> with a data URL.

    It is in base64, a third longer than percent-encoded, because that is the form of a picture
    that GitHub is known to show.
    """
    address = b64encode(picture.encode()).decode()
    return (
        f'<img src="data:image/svg+xml;base64,{address}" alt="{escape(words)}" '
        f'width="{WIDTH}" height="{HEIGHT}" style="max-width:100%;height:auto"/>'
    )


def _html_table(table: pd.DataFrame) -> str:
    most = MOST_CELLS // (1 + len(table.columns))
    names = "".join(f"<th>{escape(str(name))}</th>" for name in ("", *table.columns))
    lines = []
    for row in _rows(table, most if len(table) <= most else min(most, MOST_ROWS)):
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row)
        lines.append(f"<tr>{cells}</tr>")
    return f"<table><thead><tr>{names}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _plain_table(table: pd.DataFrame) -> list[str]:
    lines = [["", *map(str, table.columns)], *_rows(table, 2 * PLAIN_ROWS)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    ]


def _rows(table: pd.DataFrame, most: int) -> list[list[str]]:
    """Return at most `most` rows as text, the first and the last, with a row of "…" between."""
    count = len(table)
    if count <= most:
        return [_cells(table, number) for number in range(count)]
    half = max(1, most // 2)
    first = [_cells(table, number) for number in range(half)]
    last = [_cells(table, number) for number in range(count - half, count)]
    return [*first, ["…"] * (1 + len(table.columns)), *last]


def _cells(table: pd.DataFrame, number: int) -> list[str]:
    values = (column.iloc[number] for _, column in table.items())
    return [str(number), *map(_cell, table.columns, values)]


def _cell(name: object, value: object) -> str:
    if name == "lr":
        return rate_text(float(value))  # type: ignore[arg-type]
    if isinstance(value, float):
        # A NaN loss is shown; a NaN in another column means that nothing was measured in the row.
        return "" if math.isnan(value) and name not in ("loss", "final_loss") else _number(value)
    return "" if value is None else str(value)


def _number(value: float) -> str:
    return f"{value:.4g}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"
