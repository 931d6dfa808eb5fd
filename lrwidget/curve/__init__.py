"""What losses say of learning rates: numpy alone, and nothing else of the project."""
