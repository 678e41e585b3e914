"""The courses with which rules are matched outside of the metrics: those with enrollments, and those that are listed."""

from dataclasses import fields

import pytest

from lms_pipeline.accounts.rule_matching import CourseRule
from lms_pipeline.errors import LakeError
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.metrics.rules import build_schema, find_courses
from lms_pipeline.tables.pulled import COURSES, UNIFIED_ENROLLMENTS
from lms_pipeline_tests.support.damages import damage_pages
from lms_pipeline_tests.support.lake_files import FIRST, enrollment, publish, write

ACME = Partition("acme", FIRST)


@pytest.fixture
def data(tmp_path):
    data = DataDir(tmp_path)
    publish(data, "acme", FIRST, enrollment("u1", "c1", course_title="Fire"), enrollment("u2", "c2"))
    return data


def test_a_course_has_the_title_of_its_enrollments(data):
    assert find_courses(data, ACME) == {"c1": "Fire", "c2": None}


def test_a_course_without_enrollments_has_the_title_of_the_list(data):
    listed = {"course_id": "c1", "course_title": "Old"}, {"course_id": "c3", "course_title": "Water"}
    write(data.file(COURSES, ACME), COURSES, *listed)
    assert find_courses(data, ACME) == {"c1": "Fire", "c2": None, "c3": "Water"}


@pytest.mark.parametrize("table", [UNIFIED_ENROLLMENTS, COURSES])
def test_a_damaged_file_is_one_sentence(data, table):
    path = data.file(table, ACME)
    if not path.exists():
        write(path, table, {"course_id": "c1", "course_title": "Fire"})
    damage_pages(path)
    with pytest.raises(LakeError, match=r"data\.parquet"):
        find_courses(data, ACME)


def test_the_sql_receives_every_field_of_a_matched_rule():
    assert build_schema().names == [field.name for field in fields(CourseRule)]
