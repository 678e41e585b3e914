"""Roles of enrollments that a sweep reads in Truto's raw format: each belongs to the enrollment that its raw record names."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline_tests.support.scripted_api import page
from lms_pipeline_tests.support.scripted_server import serve
from lms_pipeline_tests.support.snapshot_runs import SnapshotRunner, record, respond_with_raw_list

OPTIONS = AccountOptions(remote_data="raw_format", page_size=3)
Build = Callable[[str], dict[str, object]]
NAMING: dict[str, Build] = {
    "the enrollment by id": lambda user: {"id": f"{user}-c1"},
    "the enrollment beside another id": lambda user: {"enrollment_id": f"{user}-c1", "id": "7"},
    "learner and course": lambda user: {"user_id": user, "course_id": "c1"},
    "both in camel case": lambda user: {"id": 7, "learnerId": user, "courseId": "c1"},
    "both as objects": lambda user: {"user": {"id": user}, "course": {"id": "c1"}},
}
"""Raw records that name the enrollment of a learner."""
NOT_NAMING: dict[str, Build] = {
    "another learner": lambda user: {"id": f"{user}-c1", "user_id": "somebody else"},
    "another course": lambda user: {"id": f"{user}-c1", "course": {"id": "c9"}},
    "no course": lambda user: {"user_id": user},
    "another enrollment": lambda _user: {"id": "other"},
    "nothing": lambda _user: {},
}
SHARED_IDS = {"twice the same": (("a", "a"), "a"), "two roles": (("a", "b"), None), "one without": (("a", None), None)}
"""The roles of two raw records with the id of one enrollment, and that of the enrollment."""


def pull_roles(folder, enrollments, raw, **options):
    """Pull enrollments with the records of a raw list, and return the published roles by learner."""
    with serve(respond_with_raw_list(enrollments, [page(*raw)])) as server:
        runner = SnapshotRunner(folder, server.url)
        runner.run(options=OPTIONS, **options)
    return dict(runner.read_rows("unified_enrollments", "user_id", "role"))


@pytest.fixture(scope="module")
def roles(tmp_path_factory):
    """The published roles of one pull, in which each case is a learner."""
    learners = {case: f"learner {number}" for number, case in enumerate((*NAMING, *NOT_NAMING, *SHARED_IDS))}
    raw = [
        *(build(learners[case]) | {"role": "mentor"} for case, build in (NAMING | NOT_NAMING).items()),
        *({"id": f"{learners[case]}-c1", "role": role} for case, (served, _) in SHARED_IDS.items() for role in served),
    ]
    found = pull_roles(tmp_path_factory.mktemp("roles"), map(record, learners.values()), raw)
    return {case: found[learner] for case, learner in learners.items()}


@pytest.mark.parametrize("case", NAMING)
def test_a_role_belongs_to_the_enrollment_that_the_raw_record_names(roles, case):
    assert roles[case] == "mentor"


@pytest.mark.parametrize("case", NOT_NAMING)
def test_an_enrollment_that_no_raw_record_names_has_no_role(roles, case):
    assert roles[case] is None


@pytest.mark.parametrize("case", SHARED_IDS)
def test_the_role_of_raw_records_that_share_an_id_counts_only_if_they_agree(roles, case):
    assert roles[case] == SHARED_IDS[case][1]


def test_a_role_is_not_given_to_several_enrollments_with_one_id(tmp_path):
    enrollments = [record("u1", id="7"), record("u2", id="7")]
    raw = [{"id": "7", "role": "mentor"}]
    assert pull_roles(tmp_path, enrollments, raw, identity="pair") == {"u1": None, "u2": None}


def test_the_role_in_a_remote_data_that_came_all_the_same_does_not_count(tmp_path):
    enrollments, raw = [record("u1", remote_data={"role": "mentor"})], [{"id": "u1-c1"}]
    assert pull_roles(tmp_path, enrollments, raw) == {"u1": None}
    stored = SnapshotRunner(tmp_path, "").read_rows("raw_enrollments", "source", "payload")
    assert stored == [("raw", '{"id": "u1-c1"}')]
