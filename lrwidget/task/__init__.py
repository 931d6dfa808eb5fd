"""What is trained: a model, its optimizer, its loss, and the options of a sweep."""
