"""The records of a sweep: table, file format and pictures."""
