"""Leave a task as it was, however a sweep of it ends."""
