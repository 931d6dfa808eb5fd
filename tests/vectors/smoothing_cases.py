"""Reads the cases of smoothing.json and centred.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet


def smoothing_cases(file: str) -> list[ParameterSet]:
    """Return the losses, beta and the expected line of each case, as parameters of a test."""
    cases = json.loads(Path(__file__).with_name(file).read_text())["cases"]
    return [
        pytest.param(
            [float(value) for value in case["loss"]],
            case["beta"],
            np.array([np.nan if v is None else v for v in case["expected"]], dtype=float),
            id=f"{case['name']}-{case['beta']}",
        )
        for case in cases
    ]
