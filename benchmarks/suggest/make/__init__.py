"""The tasks of `varied.json` and `unseen.json`: small models, trained many at a time."""
