"""A lake of a made-up company, read only."""

import pytest

from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.report_lake import NOW, build_company

DAYS_BACK = choose((28, 21, 14, 7, 3, 1, 0), tuple(reversed(range(29))))
"""The days of the lake before the last one: those that a trend compares, with and without gaps."""


@pytest.fixture(scope="session")
def company(tmp_path_factory):
    """Return a function that returns the settings of the company's lake, with a limit of small groups."""
    root = tmp_path_factory.mktemp("company")
    build_company(DataDir(root), days_back=DAYS_BACK)

    def configure(limit=1):
        return Settings(data_dir=root, frozen_now=NOW, min_cohort=limit)

    return configure
