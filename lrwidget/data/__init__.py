"""Batches: where they come from, what they are made of, how they reach the device."""
