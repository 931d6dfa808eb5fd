"""LRFinderWidget: its traits, its methods and their implementation."""
