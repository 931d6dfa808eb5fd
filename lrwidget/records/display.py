"""What a notebook shows of records and of a check, where they are the last value of a cell."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from lrwidget.curve.suggest import Suggestion
from lrwidget.records.check_results import LOSSES
from lrwidget.records.picture import HEIGHT, WIDTH, rate_text, sweep_picture, trials_picture
from lrwidget.records.table import RecordsTable, StopReason

if TYPE_CHECKING:
    from lrwidget.records.refinement import Refinement

# How much of a table is shown: what is beyond says that it is.
MOST_CELLS = 600
MOST_COLUMNS = 8
MOST_ROWS = 100
# Rows at each end of the table in plain text.
PLAIN_ROWS = 5


Kinds = Collection[str] | None


class Trials(Protocol):
    """What is shown of the results of a check."""

    lrs: list[float]

    @property
    def trials(self) -> Sequence[RecordsTable]:
        """The rows of each rate."""

    @property
    def summary(self) -> pd.DataFrame:
        """One row a rate."""

    @property
    def best(self) -> float | None:
        """The best rate, if there is one."""

    @property
    def ranked_by(self) -> str:
        """The column of the summary that tells the best."""


def show_records(
    records: RecordsTable,
    suggestion: Suggestion,
    include: Kinds = None,
    exclude: Kinds = None,
) -> dict[str, str]:
    """Return the records as HTML and as plain text, by MIME type: 40 kB at most.

    Args:
        records: no rows are added to them meanwhile.
        suggestion: for these records.
        include: MIME types to return, all where it is None.
        exclude: MIME types to leave out.
    """
    options = records.meta.get("options")
    spacing = options.get("spacing") if isinstance(options, Mapping) else None
    picture = sweep_picture(records.sweeps, suggestion, linear=spacing == "linear")
    if suggestion.lr is None:
        found, why = "No suggested learning rate", suggestion.reason
    else:
        doubt = "" if suggestion.confidence == "high" else " (low confidence)"
        found = f"Suggested learning rate {rate_text(suggestion.lr)}{doubt}"
        why = suggestion.reason
    bundle = _bundle(picture, found, why, _facts(records), records.frame)
    return _wanted(bundle, include, exclude)


def show_check(results: Trials, include: Kinds = None, exclude: Kinds = None) -> dict[str, str]:
    """Return the results of a check in the same way."""
    summary = results.summary
    trials = [trial.loss for trial in results.trials]
    picture = trials_picture(results.lrs, trials, results.best)
    by = results.ranked_by
    ended = summary.dropna(subset=by).sort_values(by, kind="stable")
    ranking = [
        f"{rate_text(lr)} ({_number(final)})"
        for lr, final in zip(ended.lr.head(MOST_COLUMNS), ended[by], strict=False)
    ]
    if len(ended) > len(ranking):
        ranking.append(f"{len(ended) - len(ranking)} more")
    if results.best is None:
        found, why = "No rate came to its end", _ends(results)
    else:
        found = f"Best learning rate {rate_text(results.best)}"
        why = f"by the {LOSSES[by]}: " + ", ".join(ranking)
        broken = len(summary) - len(ended)
        if broken:
            why += f"; {broken} of {len(summary)} did not come to the end"
    facts = f"{len(summary)} rate{_s(len(summary))}, up to {max(map(len, trials))} steps each"
    return _wanted(_bundle(picture, found, why, facts, summary), include, exclude)


def show_refinement(
    result: Refinement, include: Kinds = None, exclude: Kinds = None
) -> dict[str, str]:
    """Return the trials of a refinement and what it came to, in the same way."""
    summary, frame = result.summary, result.frame
    lrs = [float(lr) for lr in summary.lr]
    picture = trials_picture(
        lrs, [frame.loss[frame.lr == lr].to_numpy() for lr in lrs], result.best
    )
    doubt = "" if result.confidence == "high" else " (low confidence)"
    found = "No rate" if result.lr is None else f"Learning rate {rate_text(result.lr)}{doubt}"
    facts = f"judged by {result.held_out}" if result.held_out else "no steps yet"
    return _wanted(_bundle(picture, found, result.reason, facts, summary), include, exclude)


def _wanted(bundle: dict[str, str], include: Kinds, exclude: Kinds) -> dict[str, str]:
    return {
        kind: text
        for kind, text in bundle.items()
        if (include is None or kind in include) and kind not in (exclude or ())
    }


def _ends(results: Trials) -> str:
    """Return how the trials ended, none of which came to its end."""
    reasons = [trial.stop_reason for trial in results.trials]
    if not any(map(len, results.trials)):
        return "no steps yet"
    if all(reason is StopReason.NON_FINITE for reason in reasons):
        return "the loss was not finite at any; try lower ones"
    ends = [
        f"{rate_text(lr)} {'not tried' if reason is None else reason.value}"
        for lr, reason in zip(results.lrs[:MOST_COLUMNS], reasons, strict=False)
    ]
    return ", ".join(ends)


def _facts(records: RecordsTable) -> str:
    """Return how far the sweep came and how it ended."""
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
    facts.append("running" if records.stop_reason is None else records.stop_reason.value)
    return ", ".join(facts)


def _bundle(
    picture: str | None, found: str, why: str, facts: str, table: pd.DataFrame
) -> dict[str, str]:
    """Return a picture, what it says, and its table, as front ends can show them.

    JupyterLab, Notebook, VS Code, Colab, nbviewer, GitHub and nbconvert show the HTML, each once.
    In it the picture is an image, not elements of the page: those are stripped, and their texts
    left behind, wherever HTML is cleaned (JupyterLab does so until a notebook is trusted, GitHub
    always), and a page's own styles would reach them. There is no image/svg+xml beside it: only
    nbconvert's LaTeX and PDF would use it, which fail on one where there is no Inkscape; so they,
    and terminals, have the plain text.
    """
    image = "" if picture is None else _image(picture, f"{found}. {facts}.")
    folded = f"<p>{escape(facts)}</p>"
    plain = [f"{found}: {why}", facts]
    if len(table):
        table = table.iloc[:, :MOST_COLUMNS]
        folded = f"<details><summary>{escape(facts)}</summary>{_html_table(table)}</details>"
        plain += ["", *_plain_table(table)]
    words = f"<p><b>{escape(found)}</b>: {escape(why)}</p>"
    return {"text/html": f"<div>{image}{words}{folded}</div>", "text/plain": "\n".join(plain)}


def _image(picture: str, words: str) -> str:
    """Return the picture as an image, written as it is: a third shorter than in base64."""
    # What ends an attribute or begins an entity in HTML, and an escape or a fragment in an address.
    address = picture.replace("%", "%25").replace("#", "%23")
    address = address.replace("&", "&amp;").replace('"', "&quot;")
    return (
        f'<img src="data:image/svg+xml;charset=utf-8,{address}" alt="{escape(words)}" '
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
    """Return the first and the last rows as text, `most` of them, with "…" for those between."""
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
        # Losses are NaN where they were NaN; what was measured now and then, where it was not.
        return "" if math.isnan(value) and name not in ("loss", "final_loss") else _number(value)
    return "" if value is None else str(value)


def _number(value: float) -> str:
    return f"{value:.4g}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"
