"""Fixtures of this folder: OULAD's enrollments, whose CSVs are read once, and figures under rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lms_pipeline_tests.support.oulad_files import open_assessments, open_presentations
from lms_pipeline_tests.support.oulad_records import OULAD, OULAD_MISSING
from lms_pipeline_tests.support.ruled_enrollments import build_compute

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lms_pipeline_tests.support.oulad_files import Write
    from lms_pipeline_tests.support.ruled_enrollments import Compute


@pytest.fixture(scope="session")
def write_presentations(oulad_records: Path) -> Iterator[Write]:
    with open_presentations(oulad_records) as write:
        yield write


@pytest.fixture(scope="session")
def write_assessments() -> Iterator[Write]:
    if not OULAD.is_dir():
        pytest.skip(OULAD_MISSING)
    with open_assessments() as write:
        yield write


@pytest.fixture
def compute(tmp_path: Path) -> Compute:
    """Return a function that returns the figures of the account, or of a course, of enrollments under rules."""
    return build_compute(tmp_path)
