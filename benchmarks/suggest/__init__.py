"""Measures suggested learning rates on recorded range tests of tasks with a known best rate."""
