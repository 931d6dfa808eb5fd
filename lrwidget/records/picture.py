"""Pictures of curves as SVG: the records of a sweep, and the trials of a check.

A picture is 640 px wide, has its own background, so that it is readable on a dark page, and holds
no more points than it can show. It contains no styles, no scripts and no names from the user's
code, and the same curves give the same text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lrwidget.curve.centred import centred
from lrwidget.curve.loss_range import Range, loss_range, trials_range
from lrwidget.curve.smoothing import smoothed
from lrwidget.text.numbers import rate_in_words

if TYPE_CHECKING:
    from lrwidget.curve.suggest import Suggestion

Floats = NDArray[np.float64]

WIDTH, HEIGHT = 640, 300
TOP, RIGHT, BOTTOM = 26, 18, 52
CHARACTER = 6.4  # approximate width of a character, in pixels
# The default of the widget and of plot().
SMOOTHING = 0.9
# At most this many sweeps or trials are drawn: more lines cannot be told apart.
MOST_LINES = 16
# Most points in all thin lines together, and in one strong line: 640 pixels show no more.
THIN_POINTS = 1100
STRONG_POINTS = 900


@dataclass(frozen=True)
class Pen:
    """How a line is drawn."""

    colour: str
    width: float
    dash: str = ""


INK, AXIS, GRID = "rgb(31,35,40)", "rgb(80,87,95)", "rgb(230,232,235)"
LINE, RULE = "rgb(20,89,179)", "rgb(179,38,30)"
STRONG, RAW = Pen(LINE, 2.4), Pen("rgb(90,140,204)", 1.2)
FLAT, FALLING, EXPLODING = "rgb(93,101,110)", "rgb(22,108,64)", "rgb(148,74,0)"
# Colours of trials, as in the page; further trials use them again with another dash.
COLOURS = (
    *("rgb(138,75,0)", LINE, "rgb(161,33,122)"),
    *("rgb(11,107,79)", "rgb(91,63,181)", "rgb(92,98,0)"),
)
DASHES = ("7 4", "", "2 3", "11 3 2 3", "16 4", "2 6")


def rate_text(lr: float) -> str:
    """Return a rate as pictures, tables and their text show it: 1.15e-6."""
    return rate_in_words(lr, 3)


def sweep_picture(
    sweeps: Sequence[Floats],
    suggestion: Suggestion,
    *,
    refined: float | None = None,
    linear: bool = False,
) -> str | None:
    """Draw raw and smoothed loss over the rate, the regions of the curve and the suggestion.

    Several sweeps are drawn as thin lines, each smoothed, and their median as a strong line.

    Args:
        sweeps: rates and raw losses of each sweep, shapes (steps, 2). A loss that is not finite is
            a gap.
        suggestion: the suggestion for these sweeps.
        refined: the rate that trials found after the sweep.
        linear: use a linear axis of rates instead of a logarithmic one.

    Returns:
        An SVG document; None if fewer than two rates have a loss.
    """
    least = -np.inf if linear else 0.0
    usable = [sweep[(sweep[:, 0] > least) & (sweep[:, 0] < np.inf)] for sweep in sweeps]
    usable = [sweep for sweep in usable if np.isfinite(sweep[:, 1]).any()]
    if not usable:
        return None
    rates = np.concatenate([sweep[:, 0] for sweep in usable])
    ends = float(rates.min()), float(rates.max())

    def scale(rate: float | Floats) -> Floats:
        return np.asarray(rate) if linear else np.log10(rate)

    across = float(scale(ends[0])), float(scale(ends[1]))
    if not across[0] < across[1]:
        return None
    canvas = _Canvas(across, loss_range(sweep[:, 1] for sweep in usable))

    def at(rate: float) -> float:
        return float(canvas.x(scale(min(max(rate, ends[0]), ends[1]))))

    for name, low, high, colour in _regions(suggestion, ends):
        canvas.shade(at(low), at(high), colour, name)
    ticks = _ticks(*across, 6) if linear else _rate_ticks(*across)
    canvas.axes([(float(canvas.x(x)), text) for x, text in ticks], "learning rate")
    lines = [centred(sweep[:, 1], SMOOTHING) for sweep in usable]
    if len(usable) == 1:
        canvas.line(scale(usable[0][:, 0]), usable[0][:, 1], RAW, STRONG_POINTS)
        canvas.line(scale(usable[0][:, 0]), lines[0], STRONG, STRONG_POINTS)
        canvas.legend([(STRONG, "smoothed loss"), (RAW, "loss")])
    else:
        shown = min(len(usable), MOST_LINES)
        for sweep, line in zip(usable[:shown], lines, strict=False):
            canvas.line(scale(sweep[:, 0]), line, RAW, THIN_POINTS // shown)
        longest = max(usable, key=len)[:, 0]
        canvas.line(scale(longest), _median(lines), STRONG, STRONG_POINTS)
        of = f"{shown} of {len(usable)}" if shown < len(usable) else f"{shown}"
        canvas.legend([(STRONG, "median"), (RAW, f"{of} sweeps, smoothed")])
    marks = [("refined", refined, ""), ("suggestion", suggestion.lr, "6 4")]
    canvas.rules(
        [
            (at(rate), f"{name} {rate_text(rate)}", Pen(RULE, 2, dash))
            for name, rate, dash in marks
            if rate is not None and ends[0] <= rate <= ends[1]
        ]
    )
    return canvas.svg()


def trials_picture(
    lrs: Sequence[float], losses: Sequence[Floats], best: float | None
) -> str | None:
    """Draw the smoothed loss of each rate over its steps, with a legend.

    Args:
        lrs: the rates.
        losses: the raw losses at each rate, shapes (steps,). A loss that is not finite is a gap.
        best: the rate whose line is drawn strongest.

    Returns:
        An SVG document; None if there are fewer than two steps.
    """
    curves = [smoothed(loss, SMOOTHING) for loss in losses]
    steps = max(map(len, curves), default=0)
    seen = [i for i, curve in enumerate(curves) if np.isfinite(curve).any()]
    # The best rate is always among the lines drawn.
    drawn = sorted(sorted(seen, key=lambda i: lrs[i] != best)[:MOST_LINES])
    if steps < 2 or not drawn:
        return None
    canvas = _Canvas((1.0, float(steps)), trials_range(curves), right=116)
    ticks = [(x, text) for x, text in _ticks(1.0, float(steps), 6) if x == round(x)]
    canvas.axes([(float(canvas.x(x)), text) for x, text in ticks], "step")
    for row, trial in enumerate(drawn):
        strong = lrs[trial] == best
        colour = COLOURS[trial % len(COLOURS)]
        dash = DASHES[(trial + trial // len(COLOURS)) % len(DASHES)]
        pen = Pen(colour, 2.8 if strong else 1.6, dash)
        numbers = np.arange(1.0, len(curves[trial]) + 1)
        canvas.line(numbers, curves[trial], pen, 2 * THIN_POINTS // len(drawn))
        canvas.entry(row, pen, rate_text(lrs[trial]), strong=strong)
    each = f"{len(drawn)} of {len(seen)} rates" if len(drawn) < len(seen) else "each rate"
    canvas.legend([(None, f"smoothed loss at {each}")])
    return canvas.svg()


def thinned(columns: NDArray[np.int64], values: Floats) -> NDArray[np.int64]:
    """Return the rows to draw: the lowest and the highest finite value of each pixel column.

    Args:
        columns: pixel column of each row, shape (n,), ascending.
        values: value of each row, shape (n,).

    Returns:
        Row numbers, ascending, at most two a column. A column without a finite value keeps one row,
        so that the line has a gap there.
    """
    finite = np.isfinite(values)
    starts = np.flatnonzero(np.diff(columns, prepend=columns[0] - 1))
    lowest = np.lexsort((np.where(finite, values, np.inf), columns))[starts]
    highest = np.lexsort((np.where(finite, -values, np.inf), columns))[starts]
    kept: NDArray[np.int64] = np.unique(np.concatenate([lowest, highest]))
    return kept


@dataclass
class _Canvas:
    """A frame with two axes and the SVG elements drawn in it so far."""

    across: Range
    up: Range
    right: float = RIGHT
    _under: list[str] = field(default_factory=list)
    _lines: list[str] = field(default_factory=list)
    _over: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._loss_ticks = _ticks(*self.up, 5)
        longest = max(len(text) for _, text in self._loss_ticks)
        self.left = 34 + round(CHARACTER * longest)
        self.width = WIDTH - self.right - self.left
        self.bottom = HEIGHT - BOTTOM
        self._named = float(self.left)  # right end of the names of regions so far

    def x(self, value: float | Floats) -> Floats:
        low, high = self.across
        return np.asarray(self.left + self.width * ((value - low) / (high - low)))

    def y(self, loss: float | Floats) -> Floats:
        """Return the vertical position of a loss; far outside of the frame it is clipped."""
        low, high = self.up
        with np.errstate(over="ignore"):
            share = np.clip((loss - low) / (high - low), -3, 4)
        return np.asarray(self.bottom - (self.bottom - TOP) * share)

    def shade(self, low: float, high: float, colour: str, name: str) -> None:
        self._under.append(
            f"<rect x='{low:.1f}' y='{TOP}' width='{high - low:.1f}' height='{self.bottom - TOP}' "
            f"fill='{colour}' fill-opacity='.1'/>"
        )
        # A name may be up to twice as wide as its region if it overlaps neither edge nor name.
        half = CHARACTER * len(name) / 2
        middle = max(self._named + half, min((low + high) / 2, WIDTH - self.right - half))
        if half <= high - low and middle - half <= (low + high) / 2 <= middle + half:
            self._over.append(_text((middle, TOP - 8), name, colour, "middle"))
            self._named = middle + half + CHARACTER

    def axes(self, ticks: Sequence[tuple[float, str]], name: str) -> None:
        right = WIDTH - self.right
        for loss, text in self._loss_ticks:
            y = float(self.y(loss))
            self._under.append(_path(f"M{self.left} {y:.1f}H{right}", Pen(GRID, 1)))
            self._over.append(_text((self.left - 7, y + 4), text, AXIS, "end"))
        for x, text in ticks:
            self._over.append(_path(f"M{x:.1f} {self.bottom}v4", Pen(AXIS, 1)))
            self._over.append(_text((x, self.bottom + 17), text, AXIS, "middle"))
        self._over.append(_path(f"M{self.left} {TOP}V{self.bottom}H{right}", Pen(AXIS, 1)))
        self._over.append(_text((right, HEIGHT - 12), name, INK, "end"))
        middle = (TOP + self.bottom) / 2
        turned = f" transform='rotate(-90 16 {middle:.0f})'"
        self._over.append(_text((16, middle), "loss", INK, "middle", turned))

    def line(self, at: Floats, losses: Floats, pen: Pen, points: int) -> None:
        """Draw losses over their places `at` on the axis, with at most `points` points."""
        order = np.argsort(at, kind="stable")
        x, losses = self.x(at[order]), losses[order]
        columns = np.arange(len(x))
        if len(x) > points:
            columns = np.floor((x - self.left) / self.width * (points // 2 - 1)).astype(np.int64)
        kept = thinned(columns, losses)
        x, y = x[kept], np.where(np.isfinite(losses[kept]), self.y(losses[kept]), np.nan)
        self._lines.append(_path(_course(x, y), pen))

    def rules(self, marks: Sequence[tuple[float, str, Pen]]) -> None:
        """Mark places on the axis, each name beside its rule on the side with room for it."""
        self._over += [_path(f"M{x:.1f} {TOP}V{self.bottom}", pen) for x, _, pen in marks]
        for row, (x, name, pen) in enumerate(marks):
            long = 12 + CHARACTER * len(name)
            after = x + long < WIDTH - self.right
            if any(x < other < x + long for other, _, _ in marks):
                after = after and x - long < self.left
            halo = " font-weight='600' stroke='white' stroke-width='4' paint-order='stroke'"
            place = (x + 7, "start") if after else (x - 7, "end")
            at = place[0], TOP + 17 * (row + 1)
            self._over.append(_text(at, name, pen.colour, place[1], halo))

    def legend(self, entries: Sequence[tuple[Pen | None, str]]) -> None:
        """Draw the legend of the lines below the axis."""
        x = float(self.left)
        for pen, name in entries:
            if pen is not None:
                self._over.append(_path(f"M{x:.1f} {HEIGHT - 16}h20", pen))
                x += 26
            self._over.append(_text((x, HEIGHT - 12), name, INK, "start"))
            x += CHARACTER * len(name) + 18

    def entry(self, row: int, pen: Pen, name: str, *, strong: bool) -> None:
        """Name a line beside the frame."""
        x, y = WIDTH - self.right + 12, TOP + 8 + 14 * row
        self._over.append(_path(f"M{x} {y}h26", pen))
        bold = " font-weight='700'" if strong else ""
        self._over.append(_text((x + 32, y + 4), name, INK, "start", bold))

    def svg(self) -> str:
        # An inner <svg> clips at the frame; a clipPath would need an id, which must be unique in
        # a page.
        height = self.bottom - TOP
        view = f"x='{self.left}' y='{TOP}' width='{self.width}' height='{height}'"
        box = f"viewBox='{self.left} {TOP} {self.width} {height}'"
        return "".join(
            [
                f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' "
                f"width='{WIDTH}' height='{HEIGHT}' font-family='system-ui,sans-serif' "
                "font-size='12'>",
                f"<rect x='.5' y='.5' width='{WIDTH - 1}' height='{HEIGHT - 1}' rx='6' "
                "fill='white' stroke='rgb(134,142,151)'/>",
                *self._under,
                f"<svg {view} {box}>",
                *self._lines,
                "</svg>",
                *self._over,
                "</svg>",
            ]
        )


def _regions(suggestion: Suggestion, ends: Range) -> list[tuple[str, float, float, str]]:
    """Return the regions of the curve as the page shows them: name, from, to, colour."""
    falls, minimum, explodes = suggestion.falls_at, suggestion.minimum, suggestion.explodes_at
    regions = [
        ("flat", ends[0], explodes if falls is None else falls, FLAT),
        ("falling", falls, minimum, FALLING),
        ("exploding", explodes, ends[1], EXPLODING),
    ]
    return [
        (name, low, high, colour)
        for name, low, high, colour in regions
        if low is not None and high is not None and max(low, ends[0]) < min(high, ends[1])
    ]


def _median(lines: Sequence[Floats]) -> Floats:
    """Return the median at each step over the sweeps that have a finite value there."""
    table = np.full((max(map(len, lines)), len(lines)), np.nan)
    for column, line in enumerate(lines):
        table[: len(line), column] = line
    median = np.full(len(table), np.nan)
    seen = np.isfinite(table).any(axis=1)
    median[seen] = np.nanmedian(table[seen], axis=1)
    return median


def _ticks(low: float, high: float, count: int) -> list[tuple[float, str]]:
    """Return about `count` round numbers in the range, at least two, each with its text."""
    rough = (high - low) / count
    exponent = math.floor(math.log10(rough))
    factor = next((m for m in (1, 2, 5) if m * 10.0**exponent >= rough * (1 - 1e-9)), 10)
    exponent, factor = (exponent + 1, 1) if factor == 10 else (exponent, factor)
    step = factor * 10.0**exponent
    first = math.ceil(low / step)
    values = [i * step for i in range(first, first + 20) if i * step <= high]
    if len(values) < 2:
        values = [low, high]
    most = max(abs(low), abs(high))
    digits = max(0, -exponent)
    if most < 1e5 and digits <= 8:
        return [(value, f"{value:.{digits}f}") for value in values]
    digits = min(max(0, math.floor(math.log10(most)) - exponent), 15)
    return [(value, f"{value:.{digits}e}") for value in values]


def _rate_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return powers of ten, or round numbers if the range of decades holds fewer than two."""
    decades = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
    if len(decades) >= 2:
        stride = math.ceil(len(decades) / 10)
        return [(float(d), rate_in_words(10.0**d, 1)) for d in decades if d % stride == 0]
    rates = [m * 10.0**d for d in range(math.floor(low), math.ceil(high)) for m in (1, 2, 5)]
    values = [x for rate in rates if low <= (x := math.log10(rate)) <= high]
    if len(values) >= 2:
        return [(x, rate_in_words(10**x, 1)) for x in values]
    return [(x, rate_text(10**x)) for x in (low, high)]


def _course(x: Floats, y: Floats) -> str:
    """Return the `d` of a path through the points, rounded to 0.1 pixel; a NaN is a gap."""
    tenths = np.rint(10 * x).astype(np.int64)
    parts: list[str] = []
    before: tuple[int, int] | None = None
    for across, down in zip(tenths.tolist(), (10 * y).tolist(), strict=True):
        if math.isnan(down):
            before = None
            continue
        here = across, round(down)
        if before is None:
            # A line of zero length shows as a dot if the loss lies between two gaps.
            parts.append(f"M{here[0] / 10:g} {here[1] / 10:g}h0l")
        else:
            parts.append(f"{(here[0] - before[0]) / 10:g} {(here[1] - before[1]) / 10:g} ")
        before = here
    return "".join(parts).replace(" -", "-").replace(" M", "M").replace("lM", "M").rstrip("l ")


def _path(d: str, pen: Pen) -> str:
    dashed = f" stroke-dasharray='{pen.dash}'" if pen.dash else ""
    return (
        f"<path d='{d}' fill='none' stroke='{pen.colour}' stroke-width='{pen.width}' "
        f"stroke-linecap='round' stroke-linejoin='round'{dashed}/>"
    )


def _text(at: tuple[float, float], text: str, colour: str, anchor: str, more: str = "") -> str:
    x, y = at
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' fill='{colour}' text-anchor='{anchor}'{more}>{text}</text>"
    )
