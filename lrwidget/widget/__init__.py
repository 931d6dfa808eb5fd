"""LRFinderWidget: its traits and methods, and what stands behind them."""
