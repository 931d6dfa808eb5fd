"""Sweeps past one process: process groups, and machines."""
