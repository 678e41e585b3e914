"""A world read from files: versions of enrollments, each with the instant from which it holds."""
