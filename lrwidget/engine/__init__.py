"""The range test: training steps at rising learning rates."""
