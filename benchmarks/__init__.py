"""Benchmarks of the whole pipeline, run by hand on a quiet machine: `make bench`.

Belongs here: measurements that take minutes. Not here: tests of behavior. A benchmark prints no figures of a run that
went wrong.
"""
