"""One run for an account and day: lock, extract, transform, publish."""
