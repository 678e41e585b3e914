"""Checks of the content of enrollments."""

import json

import pytest

from lms_pipeline.checks import snapshot
from lms_pipeline.checks.snapshot import agrees_with_raw, few_are_rejected, roles_are_known, statuses_are_known
from lms_pipeline.lake import engine
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS, REJECTED_ENROLLMENTS
from lms_pipeline_tests.support.lake_files import enrollment


def raw(user_id, course_id="c1", payload=None, **values):
    return {
        "user_id": user_id,
        "course_id": course_id,
        "payload": payload or json.dumps(values),
        "source": "remote_data",
    }


class TestRaw:
    def test_passes_if_both_agree(self, files):
        files.put_pulled(enrollment("u1", status="completed"), enrollment("u2", status="in_progress"))
        files.put(
            raw("u1", completion_status="Completed"), raw("u2", completion_status="incomplete"), table=RAW_ENROLLMENTS
        )
        found = files.run(agrees_with_raw)
        assert found.passed
        assert found.figures["agrees"] == 2

    @pytest.mark.parametrize(
        ("status", "raw_status", "disagreement"),
        [
            ("enrolled", "Completed", "1 are completed only in raw"),
            ("completed", "not_attempted", "1 are completed only in unified"),
        ],
    )
    def test_fails_if_one_is_completed_and_the_other_open(self, files, status, raw_status, disagreement):
        files.put_pulled(enrollment("u1", status=status))
        files.put(raw("u1", completion_status=raw_status), table=RAW_ENROLLMENTS)
        found = files.run(agrees_with_raw)
        assert not found.passed
        assert disagreement in found.message
        assert [(row["user_id"], row["raw_status"], row["status"]) for row in found.rows] == [
            ("u1", raw_status, status)
        ]

    @pytest.mark.parametrize("status", ["expired", "withdrawn", "failed", "unknown"])
    def test_ignores_enrollments_that_ended_otherwise(self, files, status):
        files.put_pulled(enrollment("u1", status=status))
        files.put(raw("u1", completion_status="Completed"), table=RAW_ENROLLMENTS)
        assert files.run(agrees_with_raw).passed

    def test_fails_if_an_enrollment_is_not_in_raw(self, files):
        files.put_pulled(enrollment("u1"), enrollment("u2"))
        files.put(raw("u1"), table=RAW_ENROLLMENTS)
        found = files.run(agrees_with_raw)
        assert (found.passed, found.figures["unified_alone"]) == (False, 1)

    def test_fails_if_raw_has_more_than_the_rejected(self, files):
        files.put_pulled(enrollment("u1"), served=2, rejected=1)
        files.put(raw("u1"), raw("u2"), table=RAW_ENROLLMENTS)
        assert files.run(agrees_with_raw).passed
        files.put(raw("u1"), raw("u2"), raw("u3"), table=RAW_ENROLLMENTS)
        found = files.run(agrees_with_raw)
        assert not found.passed
        assert "2 are only in raw" in found.message

    def test_does_not_compare_a_payload_that_is_too_large_to_parse(self, files, monkeypatch):
        monkeypatch.setattr(snapshot, "MAX_PARSED_BYTES", 1_000)
        files.put_pulled(enrollment("u1", status="enrolled"), enrollment("u2", status="completed"))
        files.put(
            raw("u1", completion_status="Completed", suspend_data="x" * 1_000),
            raw("u2", completion_status="Completed"),
            table=RAW_ENROLLMENTS,
        )
        found = files.run(agrees_with_raw)
        assert found.passed
        assert (found.figures["agrees"], found.figures["not_compared"]) == (1, 1)

    def test_takes_no_more_memory_for_large_payloads(self, files, monkeypatch):
        monkeypatch.setattr(engine, "MEMORY_LIMIT", "200MB")
        files.put_pulled(*(enrollment(f"u{n}", status="completed") for n in range(300)))
        rows = [raw(f"u{n}", completion_status="Completed", scores=[1] * 50_000) for n in range(300)]
        files.put(*rows, table=RAW_ENROLLMENTS)
        assert files.run(agrees_with_raw).figures["agrees"] == 300

    def test_passes_without_raw_enrollments(self, files):
        files.put_pulled(enrollment("u1"))
        files.put(table=RAW_ENROLLMENTS)
        assert files.run(agrees_with_raw).message == "There are no raw enrollments of this day to compare with."

    @pytest.mark.parametrize("payload", ["[]", "null", '"text"', '{"state": {"deep": 1}}', '{"n": "\\ud83d"}'])
    def test_accepts_any_payload(self, files, payload):
        files.put_pulled(enrollment("u1"))
        files.put(raw("u1", payload=payload), table=RAW_ENROLLMENTS)
        found = files.run(agrees_with_raw)
        assert (found.passed, found.figures["not_compared"]) == (True, 1)

    def test_ignores_pairs_with_several_rows(self, files):
        files.put_pulled(
            enrollment("u1", enrollment_id="1", status="completed"),
            enrollment("u1", enrollment_id="2", status="enrolled"),
        )
        files.put(raw("u1", state="COMPLETED"), raw("u1", state="ENROLLED"), table=RAW_ENROLLMENTS)
        assert files.run(agrees_with_raw).figures["not_compared"] == 1


class TestStatuses:
    def test_pass_if_all_are_documented(self, files):
        files.put_pulled(enrollment("u1", status="passed"), enrollment("u2", status="unknown", status_raw="Unknown"))
        assert files.run(statuses_are_known).passed

    def test_fail_with_those_that_are_not_and_their_number(self, files):
        files.put_pulled(
            *(enrollment(f"u{n}", status="unknown", status_raw=" paused") for n in range(3)),
            enrollment("u9", status="unknown"),
        )
        found = files.run(statuses_are_known)
        assert not found.passed
        assert found.rows == [{"status_raw": "paused", "enrollments": 3}, {"status_raw": "", "enrollments": 1}]
        assert found.message.startswith("4 enrollments have a status that is not documented")


class TestRoles:
    def test_pass_if_all_are_known_or_null(self, files):
        files.put_pulled(enrollment("u1", role="Learner"), enrollment("u2", role="instructor"), enrollment("u3"))
        assert files.run(roles_are_known).passed

    def test_fail_with_one_that_is_not_known(self, files):
        files.put_pulled(enrollment("u1", role="Mentor "), enrollment("u2", role="mentor"))
        found = files.run(roles_are_known)
        assert not found.passed
        assert found.rows == [{"role": "mentor", "enrollments": 2}]


class TestRejected:
    def test_pass_up_to_a_hundredth(self, files):
        files.put_pulled(enrollment("u1"), served=100, rejected=1)
        files.put({"reason": "is missing", "field": "user.id"}, table=REJECTED_ENROLLMENTS)
        found = files.run(few_are_rejected, REJECTED_ENROLLMENTS)
        assert found.passed
        assert found.message == "1 of 100 served records are rejected, 1.0 %."
        assert found.rows == [{"reason": "is missing", "field": "user.id", "records": 1}]

    def test_fail_beyond_it(self, files):
        files.put_pulled(enrollment("u1"), served=199, rejected=2)
        files.put(*[{"reason": "is missing", "field": "user.id"}] * 2, table=REJECTED_ENROLLMENTS)
        assert not files.run(few_are_rejected, REJECTED_ENROLLMENTS).passed

    def test_show_no_payload(self, files):
        files.put_pulled(served=1, rejected=1)
        files.put({"payload": '{"email": "ann@example.org"}', "reason": "is missing"}, table=REJECTED_ENROLLMENTS)
        assert "ann" not in repr(files.run(few_are_rejected, REJECTED_ENROLLMENTS))
