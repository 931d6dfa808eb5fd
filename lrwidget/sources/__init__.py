"""Where the runs of a widget come from."""
