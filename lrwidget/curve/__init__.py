"""Analysis of range test curves; imports numpy, and of the project only how numbers are told."""
