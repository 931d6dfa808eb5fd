"""The table of a sweep, its file, and its pictures."""
