"""Which accounts there are, and their options."""
