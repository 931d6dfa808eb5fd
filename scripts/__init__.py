"""What is run by hand or by make: the site, its gallery, and tools that are fetched."""
