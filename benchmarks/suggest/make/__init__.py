"""The tasks of `varied.json`: small models that are trained many at a time."""
