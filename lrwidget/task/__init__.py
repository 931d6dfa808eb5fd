"""The training task: model, optimizer, loss and data, and the options of a sweep."""
