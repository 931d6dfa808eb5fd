"""Restore a task to its state before the sweep, however the sweep ends."""
