"""What the runs of these tests need not compute again: none of them is about Dagster's statements or the warehouse's comments."""

from lms_pipeline_tests.support.cheaper_dagster import cheaper_dagster
from lms_pipeline_tests.support.warehouse_builds import warehouse_without_comments

__all__ = ["cheaper_dagster", "warehouse_without_comments"]
