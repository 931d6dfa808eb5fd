"""Rows and status on their way to the page, and the messages in both directions."""
