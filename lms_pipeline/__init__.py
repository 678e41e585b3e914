"""Every learner's course status, every day, from every connected LMS, as Parquet that anyone can query."""

__version__ = "0.1.0"
