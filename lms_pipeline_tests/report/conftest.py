"""A lake of a made-up company, read only."""

import pytest

from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings
from lms_pipeline_tests.support.report_lake import NOW, build_company


@pytest.fixture(scope="session")
def company(tmp_path_factory):
    """Return a function that returns the settings of the company's lake, with a limit of small groups."""
    root = tmp_path_factory.mktemp("company")
    build_company(DataDir(root), days=29)

    def configure(limit=1):
        return Settings(data_dir=root, frozen_now=NOW, min_cohort=limit)

    return configure
