"""Sweeps whose raw list can't be read or is short, although nothing says so."""

import pytest

from lms_pipeline.snapshot.job import TABLES
from lms_pipeline.truto.errors import TransientError
from lms_pipeline_tests.snapshot.test_raw_format_sweep import OPTIONS, read_digests, replay
from lms_pipeline_tests.support.scripted_api import ScriptedResponse, page
from lms_pipeline_tests.support.scripted_server import serve
from lms_pipeline_tests.support.snapshot_runs import SnapshotRunner, record, respond_with_raw_list


class TestBodyInAnotherFormat:
    """A raw body that is no JSON object and no list, in each attempt of its request."""

    ATTEMPTS = 6

    @pytest.mark.parametrize(
        "body",
        [
            b'<?xml version="1.0"?><enrolments><enrolment id="1"/></enrolments>',
            "id;name\n1;J\u00f6rg\n".encode("latin-1"),
        ],
        ids=["XML", "CSV"],
    )
    @pytest.mark.parametrize("pages", [0, 1])
    def test_makes_only_raw_incomplete_and_so_does_a_replay(self, tmp_path, body, pages):
        responses = [page({"id": "u1-c1"}, cursor="1")] * pages + [ScriptedResponse(body)] * self.ATTEMPTS
        with serve(respond_with_raw_list([record("u1"), record("u2")], responses)) as server:
            runner = SnapshotRunner(tmp_path, server.url)
            result = runner.run(options=OPTIONS)
        assert result.complete
        assert result.raw_gaps == (
            "Raw records of account acme are missing: The response is neither a JSON object nor a list "
            "(GET /unified/lms/course-enrollments of account acme): the LMS has no raw records that can be read. If this "
            'happens every day, set remote_data = "keep" or "drop" for it in LMS_ACCOUNTS_FILE.'
        )
        assert len(runner.read_rows("raw_enrollments", "payload")) == pages
        assert len(runner.read_rows("unified_enrollments", "user_id")) == 2
        digests = read_digests(runner)
        assert (replay(runner).raw_gaps, read_digests(runner)) == (result.raw_gaps, digests)

    @pytest.mark.parametrize(
        "body",
        [b"<!DOCTYPE html><p>Bad gateway</p>", b'{"result": [], "error": "down"}'],
        ids=["HTML", "a body that says so"],
    )
    def test_is_none_if_a_failure_may_have_made_it(self, tmp_path, body):
        with serve(respond_with_raw_list([record("u1")], [ScriptedResponse(body)] * self.ATTEMPTS)) as server:
            runner = SnapshotRunner(tmp_path, server.url)
            with pytest.raises(TransientError):
                runner.run(options=OPTIONS)
        assert runner.list_published_tables() == []

    def test_is_none_if_it_passes(self, tmp_path):
        responses = [ScriptedResponse(b"later")] * (self.ATTEMPTS - 1) + [page({"id": "u1-c1"})]
        with serve(respond_with_raw_list([record("u1")], responses)) as server:
            result = SnapshotRunner(tmp_path, server.url).run(options=OPTIONS)
        assert result.raw_gaps is None


class TestShortList:
    """A raw list with fewer records than the unified one, of which nothing says that records are missing."""

    @pytest.mark.parametrize(
        ("raw", "stored"),
        [
            ([page()], 0),
            ([ScriptedResponse(status=204)], 0),
            ([page(None, None, None)], 0),
            ([page({"id": "u1-c1"})], 1),
            ([page({"id": "u1-c1"}, cursor="1"), page({"id": "u2-c1"}, None)], 2),
            ([page({"id": "u1-c1"}, {"id": "u2-c1"}, cursor="1"), page()], 2),
        ],
    )
    def test_makes_only_raw_incomplete(self, tmp_path, raw, stored):
        with serve(respond_with_raw_list([record("u1"), record("u2"), record("u3")], raw)) as server:
            runner = SnapshotRunner(tmp_path, server.url)
            result = runner.run(options=OPTIONS)
        assert result.raw_gaps == (
            "1 enrollment of account acme has no raw record."
            if stored == 2
            else f"{3 - stored} enrollments of account acme have no raw record."
        )
        assert {name: runner.read_metadata(name)["complete"] for name in TABLES} == {
            name: "false" if name == "raw_enrollments" else "true" for name in TABLES
        }
        digests = read_digests(runner)
        assert (replay(runner).raw_gaps, read_digests(runner)) == (result.raw_gaps, digests)

    @pytest.mark.parametrize(
        ("enrollments", "raw"),
        [
            ([], [page()]),
            ([record("u1"), record("u2")], [page({"id": 1}, {"id": 2}, {"id": 3})]),
            ([record("u1"), record("u1"), record("u2")], [page({"id": 1}, {"id": 2})]),
        ],
    )
    def test_is_none_if_each_unified_enrollment_has_a_raw_record(self, tmp_path, enrollments, raw):
        with serve(respond_with_raw_list(enrollments, raw)) as server:
            result = SnapshotRunner(tmp_path, server.url).run(options=OPTIONS)
        assert result.raw_gaps is None

    def test_lacks_the_rejected_records_too(self, tmp_path):
        rejected = {"id": "x", "user": {}, "course": {"id": "c1"}}
        with serve(respond_with_raw_list([record("u1"), rejected], [page({"id": "u1-c1"})])) as server:
            result = SnapshotRunner(tmp_path, server.url).run(options=OPTIONS)
        assert result.raw_gaps == "1 enrollment of account acme has no raw record."
