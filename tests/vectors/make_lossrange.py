"""Write lossrange.json: losses and the ranges that show them, as computed in Python.

    python -m tests.vectors.make_lossrange

Each case has the losses of several sweeps, the range of a sweep's picture (`loss_range` in Python,
`AutoRange` in JavaScript) and the range of a check's picture with the same curves (`trials_range`
and `curvesRange`). The tests of both languages compare their own code with the file.
"""

import json
import math
import random
from pathlib import Path

import numpy as np

from lrwidget.curve.loss_range import loss_range, trials_range
from tests.vectors.make_smoothing import INF, NAN, range_test, text


def main() -> None:
    draw = random.Random(3)
    curve = [round(loss, 3) for loss in range_test(draw, 60)]
    cases: dict[str, list[list[float]]] = {
        "range test": [curve],
        "two sweeps": [curve, [round(loss - 1, 3) for loss in curve[:40]]],
        "explosion": [[*curve, 1e3, 1e12, 1e30]],
        "only rises": [[1.0 + i for i in range(30)]],
        "explodes at once": [[4.7e4, 8e8, 2e13, 1e18, 5e22, INF]],
        "gaps": [[2.0, NAN, 1.5, INF, -INF, 1.0, 0.5, 3.0]],
        "flat": [[2.0] * 5],
        "one loss": [[-3.5]],
        "below zero": [[-1.0, -1.5, -4.0, -3.9, 2.0]],
        "nothing": [[]],
        "not a number": [[NAN, INF], [1.0, 0.5, 0.25]],
        "largest": [[1e308, -1e308, 1e300]],
    }
    lines = []
    for name, sweeps in cases.items():
        arrays = [np.array(sweep) for sweep in sweeps]
        case = {
            "name": name,
            "sweeps": [
                [loss if math.isfinite(loss) else text(loss) for loss in sweep] for sweep in sweeps
            ],
            "range": loss_range(arrays),
            "trials": trials_range(arrays),
        }
        lines.append(json.dumps(case, separators=(",", ":")))
    body = ",\n".join(lines)
    path = Path(__file__).with_name("lossrange.json")
    path.write_text(f'{{"cases":[\n{body}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
