"""The version, which the records of a sweep name too."""

__version__ = "0.2.0"
