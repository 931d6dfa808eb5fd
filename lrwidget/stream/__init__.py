"""Sends rows and status to the page, and defines the messages in both directions."""
