"""What is measured, each in a process of its own: `python -P -m benchmarks.sides.NAME`.

Belongs here: this package's work, earlier commits', and what others would write for the same work. A side imports only the
standard library and what it measures, since it runs in several environments. Its last line is its result as JSON.
"""
