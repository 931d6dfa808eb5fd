"""Analysis of range test curves; imports numpy and nothing else of the project."""
