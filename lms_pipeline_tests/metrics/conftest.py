"""OULAD's enrollments for the tests of the metrics: their CSVs are read once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lms_pipeline_tests.support.oulad_files import open_assessments, open_presentations
from lms_pipeline_tests.support.oulad_records import OULAD, OULAD_MISSING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lms_pipeline_tests.support.oulad_files import Write


@pytest.fixture(scope="session")
def write_presentations() -> Iterator[Write]:
    if not OULAD.is_dir():
        pytest.skip(OULAD_MISSING)
    with open_presentations() as write:
        yield write


@pytest.fixture(scope="session")
def write_assessments() -> Iterator[Write]:
    if not OULAD.is_dir():
        pytest.skip(OULAD_MISSING)
    with open_assessments() as write:
        yield write
