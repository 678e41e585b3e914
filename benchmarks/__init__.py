"""Benchmarks of the whole pipeline, run by hand on a quiet machine: `make bench`, which runs `python -m benchmarks`.

Belongs here: measurements that take minutes. Not here: tests of behavior. A benchmark prints no figures of a run that
went wrong.
"""
