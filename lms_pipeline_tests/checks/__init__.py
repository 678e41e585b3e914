"""The checks of what is published."""
