"""How good is a suggested learning rate? Recorded range tests of tasks whose best rate is known."""
