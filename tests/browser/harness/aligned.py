"""Compares the positions of the chart's elements on the screen with the rates that they mark."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Locator

from tests.browser.harness.lab import TIMEOUT

# Positions in pixels from the left edge of the window: of a tick's line, of the ends of a curve's
# path, and of the middle of the box of the marker's handle.
PLACES = """
(root) => {
  const box = (element) => element.getBoundingClientRect();
  const middle = (element) => box(element).left + box(element).width / 2;
  const ends = (path) => {
    const at = (length) => path.getPointAtLength(length).matrixTransform(path.getScreenCTM()).x;
    return [at(0), at(path.getTotalLength())];
  };
  const line = (colour) => ends([...root.querySelectorAll('path.line')].find((path) =>
    path.getAttribute('d') && (path.getAttribute('style') ?? '').includes(colour)));
  const ticks = {};
  for (const tick of root.querySelector('.axis').querySelectorAll('.tick')) {
    const label = tick.querySelector('text').textContent;
    if (label) ticks[label] = middle(tick.querySelector('line'));
  }
  const shades = {};
  for (const shade of root.querySelectorAll('.lrw-shade')) {
    if (!shade.hidden) shades[shade.dataset.region] = [box(shade).left, box(shade).right];
  }
  const feet = [...root.querySelectorAll('.lrw-foot')].filter((foot) => !foot.hidden);
  const plot = box(root.querySelector('.plotarea_background'));
  return {
    ticks, shades,
    plot: [plot.left, plot.right],
    handle: middle(root.querySelector('.object_grp path')),
    rule: line('--lrw-marker')[0],
    raw: line('--lrw-raw'),
    smoothed: line('--lrw-line'),
    feet: feet.map(middle).sort((a, b) => a - b),
    twin: middle(root.querySelector('.lrw-twin')),
  };
}
"""
AT_REST = 5.0  # seconds; the full time passes only if something stays in a wrong place
POWERS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


@dataclass(frozen=True)
class Rates:
    """The rates at which the chart's elements must be."""

    chosen: float
    span: tuple[float, float]
    first: float  # the rates of the first and the last row
    last: float
    landmarks: dict[str, float | None]
    suggestions: list[float]

    @property
    def regions(self) -> dict[str, tuple[float, float]]:
        """The ends of the shaded regions."""
        falls, explodes = self.landmarks["falls_at"], self.landmarks["explodes_at"]
        assert falls is not None
        assert explodes is not None
        low, high = self.span
        ends = {"flat": (low, falls), "exploding": (explodes, high)}
        return ends | {"falling": (falls, self.landmarks["minimum"] or explodes)}


# The arguments of `Rates`, as an expression for a kernel with the widget `w`.
RATES = """dict(
    chosen=w.lr, span=w._run_list.active.span, first=w.records.lr[0], last=w.records.lr[-1],
    landmarks=w._detail["landmarks"], suggestions=list(w._detail["suggestions"].values()),
)"""


def misplaced(root: Locator, rates: Rates) -> dict[str, float]:
    """Return the elements that are more than a pixel away from their rates, and by how many.

    Elements that are still moving get time to come to rest.
    """
    root.locator(".object_grp path").wait_for(timeout=TIMEOUT * 1000)
    root.locator(".lrw-shade:visible").first.wait_for(timeout=TIMEOUT * 1000)
    deadline = time.monotonic() + AT_REST
    while (off := _misplaced(root, rates)) and time.monotonic() < deadline:
        root.page.wait_for_timeout(100)
    return off


def _misplaced(root: Locator, rates: Rates) -> dict[str, float]:
    seen: dict[str, Any] = root.evaluate(PLACES)
    ticks = {float(f"1e{_power(label)}"): x for label, x in seen["ticks"].items()}
    assert len(ticks) > 2, seen["ticks"]
    (low, left), (high, right) = min(ticks.items()), max(ticks.items())

    def at(lr: float) -> float:
        return left + (right - left) * math.log(lr / low) / math.log(high / low)

    off = {f"tick {lr:g}": x - at(lr) for lr, x in ticks.items()}
    off |= {f"plot {i}": seen["plot"][i] - at(rates.span[i]) for i in (0, 1)}
    off |= {name: seen[name] - at(rates.chosen) for name in ("handle", "rule")}
    for name in ("raw", "smoothed"):
        off |= {f"{name} {i}": seen[name][i] - at(lr) for i, lr in enumerate(_rows(rates))}
    assert seen["shades"], "no region is shaded"
    for name, ends in seen["shades"].items():
        off |= {f"{name} {i}": ends[i] - at(rates.regions[name][i]) for i in (0, 1)}
    shown = sorted(lr for lr in rates.suggestions if rates.span[0] <= lr <= rates.span[1])
    assert len(seen["feet"]) == len(shown)
    off |= {f"rule {lr:g}": x - at(lr) for lr, x in zip(shown, seen["feet"], strict=True)}
    return {name: round(by, 2) for name, by in off.items() if not abs(by) <= 1}


def _rows(rates: Rates) -> tuple[float, float]:
    return rates.first, rates.last


def _power(label: str) -> int:
    """Return the exponent of a tick's label: "10⁻³", "1" or "10"."""
    plain = {"1": 0, "10": 1}
    return plain[label] if label in plain else int(label.removeprefix("10").translate(POWERS))
