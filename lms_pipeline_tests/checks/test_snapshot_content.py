"""Checks of the content of enrollments."""

import json

import pytest

from lms_pipeline.checks import raw as raw_check
from lms_pipeline.checks.raw import agrees_with_raw
from lms_pipeline.checks.snapshot import few_are_rejected, is_complete, roles_are_known, statuses_are_known
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
            ("enrolled", "Completed", "1 is completed only in raw"),
            ("completed", "not_attempted", "1 is completed only in unified"),
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
        monkeypatch.setattr(raw_check, "MAX_PARSED_BYTES", 1_000)
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

    @pytest.mark.parametrize("padding", [0, raw_check.MAX_PARSED_BYTES // raw_check.VECTOR_ROWS])
    def test_compares_rows_in_any_order(self, files, padding):
        files.put_pulled(
            enrollment("u1", status="completed"), enrollment("u2", status="enrolled"), enrollment("u3", status="passed")
        )
        statuses = {"u3": "completed", "u1": "enrolled", "u2": "enrolled"}
        rows = [raw(user, state=state, suspend_data="x" * padding) for user, state in statuses.items()]
        files.put(*rows, table=RAW_ENROLLMENTS)
        found = files.run(agrees_with_raw)
        assert (found.figures["agrees"], found.figures["completed_in_unified_alone"]) == (2, 1)
        assert found.rows == [
            {
                "judgement": "completed only in unified",
                "user_id": "u1",
                "course_id": "c1",
                "raw_status": "enrolled",
                "status": "completed",
                "pairs": 1,
            }
        ]

    def test_shows_the_first_of_the_pairs_that_disagree_by_their_ids(self, files):
        users = [f"u{number:02}" for number in range(12)]
        files.put_pulled(*(enrollment(user, status="enrolled") for user in reversed(users)))
        files.put(*(raw(user, state="completed") for user in reversed(users)), table=RAW_ENROLLMENTS)
        found = files.run(agrees_with_raw)
        assert [row["user_id"] for row in found.rows] == users[:10]
        assert {row["pairs"] for row in found.rows} == {12}

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


GAPS = "The raw list of account acme has no envelope."


def put_raw(files, *records, **metadata):
    """Publish raw records of the raw format: each a payload, with the learner and course that it names."""
    rows = [
        {"user_id": user, "course_id": course, "payload": json.dumps(payload), "source": "raw"}
        for user, course, payload in records
    ]
    files.put(*rows, table=RAW_ENROLLMENTS, raw_source="raw", **metadata)


class TestRawFormat:
    def test_is_compared_by_the_id_of_the_enrollment_if_it_names_no_learner_and_course(self, files):
        files.put_pulled(
            enrollment("u1", enrollment_id="1", status="completed"),
            enrollment("u2", enrollment_id="2", status="enrolled"),
            enrollment("u3", enrollment_id="3", status="enrolled"),
        )
        put_raw(
            files,
            (None, None, {"id": 1, "state": "COMPLETED"}),
            (None, None, {"enrolmentId": "2", "state": "COMPLETED"}),
            ("u3", "c1", {"id": "1", "state": "ENROLLED"}),
        )
        found = files.run(agrees_with_raw)
        assert (found.passed, found.figures["agrees"], found.figures["completed_in_raw_alone"]) == (False, 2, 1)
        assert [(row["user_id"], row["raw_status"]) for row in found.rows] == [("u2", "COMPLETED")]

    def test_of_another_learner_than_the_enrollment_with_its_id_is_a_disagreement(self, files):
        files.put_pulled(enrollment("u1", enrollment_id="1"))
        put_raw(files, ("u9", None, {"id": "1", "user_id": "u9"}))
        found = files.run(agrees_with_raw)
        assert (found.passed, found.figures["raw_unplaced"]) == (True, 1)  # without a course only the numbers count
        put_raw(files, ("u9", "c1", {"id": "1", "user_id": "u9", "course_id": "c1"}))
        found = files.run(agrees_with_raw)
        assert not found.passed
        assert {row["user_id"] for row in found.rows} == {"u1", "u9"}

    @pytest.mark.parametrize(
        ("unified", "raw_records", "problem"),
        [
            (3, 3, None),
            (3, 2, "1 is only in unified"),
            (3, 5, "2 are only in raw"),
            (0, 2, "2 are only in raw"),
            (2, 0, "2 are only in unified"),
            (0, 0, None),
        ],
    )
    def test_without_any_id_is_compared_by_its_number(self, files, unified, raw_records, problem):
        files.put_pulled(*(enrollment(f"u{number}") for number in range(unified)))
        put_raw(files, *[(None, None, {"role": "learner"})] * raw_records)
        found = files.run(agrees_with_raw)
        assert found.passed is (problem is None)
        assert problem is None or problem in found.message

    def test_without_any_id_may_have_the_rejected_and_the_duplicates_too(self, files):
        files.put_pulled(enrollment("u1"), served=4, rejected=1, duplicates_identical=1, duplicates_conflicting=1)
        put_raw(files, *[(None, None, {})] * 4)
        assert files.run(agrees_with_raw).passed
        put_raw(files, *[(None, None, {})] * 5)
        assert not files.run(agrees_with_raw).passed

    @pytest.mark.parametrize("rows", [[], [("u1", "c1", {"state": "ENROLLED"})]])
    def test_that_is_incomplete_may_lack_enrollments_and_says_why(self, files, rows):
        files.put_pulled(enrollment("u1"), enrollment("u2"))
        put_raw(files, *rows, incomplete_because=GAPS)
        found = files.run(agrees_with_raw)
        assert found.passed
        assert found.message.endswith(GAPS)

    def test_that_is_incomplete_must_agree_where_it_can_be_compared(self, files):
        files.put_pulled(enrollment("u1", status="completed"), enrollment("u2"))
        put_raw(files, ("u1", "c1", {"state": "ENROLLED"}), incomplete_because=GAPS)
        assert not files.run(agrees_with_raw).passed

    def test_that_is_incomplete_leaves_the_enrollments_complete(self, files):
        files.put_pulled(enrollment("u1"), complete="true")
        put_raw(files, incomplete_because=GAPS, complete="false")
        found = files.run(is_complete)
        assert (found.passed, found.message) == (True, f"Nothing is known to be missing in unified_enrollments. {GAPS}")


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
        roles = ("Learner", "instructor", None, "\x0blearner\x1f", "partİcipant")
        files.put_pulled(*(enrollment(f"u{number}", role=role) for number, role in enumerate(roles)))
        assert files.run(roles_are_known).passed

    def test_fail_with_one_that_is_not_known(self, files):
        files.put_pulled(enrollment("u1", role="Mentor "), enrollment("u2", role="mentor"))
        found = files.run(roles_are_known)
        assert not found.passed
        assert found.rows == [{"role": "mentor", "enrollments": 2}]
        assert found.message == (
            "2 enrollments have a role that is not known, and count as learners: if a role does not learn, add it to "
            "LMS_EXCLUDED_ROLES, or to excluded_roles of the account."
        )

    def test_pass_if_the_role_is_one_to_leave_out(self, files, monkeypatch):
        monkeypatch.setenv("LMS_EXCLUDED_ROLES", "lead mentor")
        files.put_pulled(enrollment("u1", role="LeadMentor "), enrollment("u2", role="learner"))
        assert files.run(roles_are_known).passed

    def test_fail_with_a_default_role_that_is_not_left_out_any_more(self, files, monkeypatch):
        monkeypatch.setenv("LMS_EXCLUDED_ROLES", "mentor")
        files.put_pulled(enrollment("u1", role="instructor"), enrollment("u2", role="mentor"))
        assert files.run(roles_are_known).rows == [{"role": "instructor", "enrollments": 1}]

    def test_the_roles_of_the_account_replace_those_of_the_settings(self, files, monkeypatch, tmp_path):
        (tmp_path / "accounts.toml").write_text('[accounts.acme]\nexcluded_roles = ["mentor"]\n', "utf-8")
        monkeypatch.setenv("LMS_EXCLUDED_ROLES", "tutor")
        monkeypatch.setenv("LMS_ACCOUNTS_FILE", str(tmp_path / "accounts.toml"))
        files.put_pulled(enrollment("u1", role="tutor"), enrollment("u2", role="mentor"))
        assert files.run(roles_are_known).rows == [{"role": "tutor", "enrollments": 1}]


class TestRejected:
    def test_pass_up_to_a_hundredth(self, files):
        files.put_pulled(enrollment("u1"), served=100, rejected=1)
        files.put({"reason": "is missing", "field": "user.id"}, table=REJECTED_ENROLLMENTS)
        found = files.run(few_are_rejected, REJECTED_ENROLLMENTS)
        assert found.passed
        assert found.message == "1 of 100 served records is rejected, 1.0 %."
        assert found.rows == [{"reason": "is missing", "field": "user.id", "records": 1}]

    def test_fail_beyond_it(self, files):
        files.put_pulled(enrollment("u1"), served=199, rejected=2)
        files.put(*[{"reason": "is missing", "field": "user.id"}] * 2, table=REJECTED_ENROLLMENTS)
        assert not files.run(few_are_rejected, REJECTED_ENROLLMENTS).passed

    def test_show_no_payload(self, files):
        files.put_pulled(served=1, rejected=1)
        files.put({"payload": '{"email": "ann@example.org"}', "reason": "is missing"}, table=REJECTED_ENROLLMENTS)
        assert "ann" not in repr(files.run(few_are_rejected, REJECTED_ENROLLMENTS))
