"""Run all browser benchmarks in sequence: `python -m benchmarks.browser`."""

from __future__ import annotations

from benchmarks.browser import drag, hidden, paint, redraw, row_age, wire

for benchmark in (wire, redraw, drag, hidden, paint, row_age):
    print(f"\n{(benchmark.__doc__ or '').splitlines()[0]}")
    benchmark.main()
