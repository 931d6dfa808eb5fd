"""The version, which the records of a sweep name too."""

__version__ = "0.1.0"
