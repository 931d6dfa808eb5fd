"""The range test: one training step after the other, at rising rates."""
