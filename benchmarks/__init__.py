"""Measurements of the whole, run by hand on a quiet machine: `make bench`.

What belongs here: what takes minutes and gives figures. What must hold is tested in `lms_pipeline_tests/`; a benchmark
refuses to give figures of something that went wrong.
"""
