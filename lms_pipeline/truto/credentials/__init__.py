"""Credentials inside of an LMS's own data: which they are, and where a body holds them."""
