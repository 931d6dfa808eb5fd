"""Write centred.json: loss curves and their drawn lines, as expected in Python and JavaScript.

    python -m tests.vectors.make_centred

The format is that of smoothing.json. The lines are computed with 60 decimal digits from their
definition (`lrwidget.curve.centred`), each fit from sums over all losses, and rounded once.
"""

import json
import math
import random
from decimal import Decimal, localcontext
from pathlib import Path
from statistics import median

from tests.vectors.make_smoothing import INF, NAN, exact, range_test, text


def fit(heights: list[Decimal], at: int, powers: list[Decimal]) -> Decimal:
    """Return the local fit at an index, with weights that decay with the distance from it."""
    s0 = s1 = s2 = t0 = t1 = Decimal(0)
    for j, height in enumerate(heights):
        d = j - at
        weight = powers[abs(d)]
        s0, s1, s2 = s0 + weight, s1 + weight * d, s2 + weight * d * d
        t0, t1 = t0 + weight * height, t1 + weight * d * height
    return (s2 * t0 - s1 * t1) / (s0 * s2 - s1 * s1)


def line_of(loss: list[float], beta: float) -> list[float | None]:
    finite = [value for value in loss if math.isfinite(value)]
    if beta == 0 or len(finite) < 3:
        return [value if math.isfinite(value) else None for value in loss]
    with localcontext() as context:
        context.prec = 60
        values = [Decimal(value) for value in finite]
        averages = [value for value in exact(loss, beta) if value is not None]
        around = [values[0], *values, values[-1]][: averages.index(min(averages)) + 3]
        medians = [median(around[i : i + 3]) for i in range(len(around) - 2)]
        high, low = max(medians), min(medians)
        sample = sorted(values[:: -(-len(values) // 1024)])
        quarter = sample[(len(sample) - 1) // 4]
        smallest = max(Decimal("1e-6") * abs(high), Decimal("1e-100"))
        spread = max(high - low, quarter - low, smallest)
        top = high + spread
        heights = [(value - top) / spread for value in values]
        heights = [(1 + h).ln() if h > 0 else h for h in heights]
        powers = [Decimal(beta) ** (2 * d) for d in range(len(heights))]
        fits = [fit(heights, i, powers) for i in range(len(heights))]
        fits = [min(max(h, min(heights)), max(heights)) for h in fits]
        line = iter([float(top + spread * (h.exp() - 1 if h > 0 else h)) for h in fits])
        return [next(line) if math.isfinite(value) else None for value in loss]


def main() -> None:
    draw = random.Random(21)
    curve = range_test(draw, 60)
    curves: dict[str, tuple[list[float], tuple[float, ...]]] = {
        "range test": (curve, (0.0, 0.5, 0.9, 0.98, 0.99)),
        "gaps": ([2.0, NAN, 1.5, 1.4, INF, -INF, NAN, 1.0, 0.5], (0.0, 0.9, 0.99)),
        "gap first": ([NAN, INF, 3.0, 1.0, 2.0], (0.9,)),
        "only gaps": ([NAN, INF, -INF], (0.9,)),
        "empty": ([], (0.9,)),
        "one loss": ([0.7], (0.0, 0.99)),
        "two losses": ([0.7, 0.5], (0.9,)),
        "negative": ([-value for value in curve[:30]], (0.9, 0.98)),
        "crosses zero": ([round(draw.gauss(0, 1), 6) for _ in range(40)], (0.5, 0.99)),
        "large offset": ([round(1e6 + value, 6) for value in curve], (0.9,)),
        "explodes": ([1.0, 1.1, 0.9, 0.8, 0.85, 5.0, 1e3, 1e8, 1e30, INF], (0.5, 0.9)),
        "only rises": ([0.5 * 1.3**i for i in range(40)], (0.9,)),
        "one bad batch": ([1e6 if i == 12 else value for i, value in enumerate(curve)], (0.9,)),
        "zeros": ([0.0] * 5, (0.98,)),
        "long": (range_test(draw, 400), (0.9, 0.99)),
    }
    cases = [
        {
            "name": name,
            "beta": beta,
            "loss": [x if math.isfinite(x) else text(x) for x in loss],
            "expected": line_of(loss, beta),
        }
        for name, (loss, betas) in curves.items()
        for beta in betas
    ]
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    path = Path(__file__).with_name("centred.json")
    path.write_text('{"cases":[\n' + lines + "\n]}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
