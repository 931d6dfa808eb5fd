"""Write smoothing.json: loss curves and their exact averages, for Python and JavaScript.

    python tests/vectors/make_smoothing.py

Each case has a name, beta, the losses ("NaN", "Infinity" and "-Infinity" as text, since JSON has no
such numbers) and the expected averages (null at a gap). These are computed with 60 decimal digits
from the recurrence itself and rounded once, independently of both implementations.
"""

import json
import math
import random
from decimal import Decimal, localcontext
from pathlib import Path

NAN, INF = math.nan, math.inf


def exact(loss: list[float], beta: float) -> list[float | None]:
    """Return the averages according to their definition, in decimal arithmetic."""
    with localcontext() as context:
        context.prec = 60
        keep, m, power = Decimal(beta), Decimal(0), Decimal(1)
        averages: list[float | None] = []
        for value in loss:
            if not math.isfinite(value):
                averages.append(None)
                continue
            m = keep * m + (1 - keep) * Decimal(value)
            power *= keep
            averages.append(float(m / (1 - power)))
        return averages


def range_test(draw: random.Random, steps: int) -> list[float]:
    """Return a noisy curve that is flat, falls from 2.3 to 0.3, and explodes."""
    curve = []
    for i in range(steps):
        decade = 7 * i / steps
        fall = 2 / (1 + math.exp(-3 * (decade - 4)))
        climb = math.exp(min(8.0, 6 * (decade - 6)))
        curve.append(round(2.3 - fall + climb + draw.gauss(0, 0.1), 6))
    return curve


def main() -> None:
    draw = random.Random(20)
    curve = range_test(draw, 60)
    gaps = [2.0, NAN, 1.5, 1.4, INF, -INF, NAN, 1.0, 0.5]
    curves: dict[str, tuple[list[float], tuple[float, ...]]] = {
        "range test": (curve, (0.0, 0.5, 0.9, 0.98, 0.99)),
        "gaps": (gaps, (0.0, 0.9, 0.99)),
        "gap first": ([NAN, INF, 3.0, 1.0], (0.9,)),
        "only gaps": ([NAN, INF, -INF], (0.9,)),
        "empty": ([], (0.9,)),
        "one loss": ([0.7], (0.0, 0.99)),
        "negative": ([-value for value in curve[:30]], (0.9, 0.98)),
        "crosses zero": ([round(draw.gauss(0, 1), 6) for _ in range(40)], (0.5, 0.99)),
        "large offset": ([round(1e6 + value, 6) for value in curve[:30]], (0.9,)),
        "explodes": ([1.0, 1.0, 0.9, 5.0, 1e3, 1e8, 1e30, INF], (0.9,)),
        "zeros": ([0.0] * 5, (0.98,)),
        "long": (range_test(draw, 1500), (0.99,)),
    }
    cases = [
        {
            "name": name,
            "beta": beta,
            "loss": [x if math.isfinite(x) else text(x) for x in loss],
            "expected": exact(loss, beta),
        }
        for name, (loss, betas) in curves.items()
        for beta in betas
    ]
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    path = Path(__file__).with_name("smoothing.json")
    path.write_text('{"cases":[\n' + lines + "\n]}\n", encoding="utf-8")


def text(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


if __name__ == "__main__":
    main()
