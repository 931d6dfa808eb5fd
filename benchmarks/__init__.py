"""What lrwidget costs and how well it suggests; `benchmarks/README.md` has the figures."""
