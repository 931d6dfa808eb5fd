"""Benchmarks of cost and of suggestions; `benchmarks/README.md` has the figures."""
