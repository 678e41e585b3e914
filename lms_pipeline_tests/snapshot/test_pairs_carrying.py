"""What a snapshot carries over from the previous one, and when it carries over nothing."""

from __future__ import annotations

import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lms_pipeline.lake.files import PREFIX, read_metadata
from lms_pipeline_tests.support.pair_account import (
    COURSES_PER_LEARNER,
    LEARNERS,
    PAIRS,
    build_expected_rows,
    read_stored_rows,
)


@pytest.mark.usefixtures("pulled")
def test_carrying_keeps_the_time_of_the_original_response_and_the_payload(account):
    fetched = {(row["user_id"], row["course_id"]): row["fetched_at"] for row in account.read_rows(0)}
    account.run_day(1)
    carried = [row for row in account.read_rows(1) if row["source"] == "carried"]
    assert carried
    assert all(row["fetched_at"] == fetched[row["user_id"], row["course_id"]] for row in carried)
    assert len(account.read_raw_rows(1)) == len(account.read_rows(1))
    assert {row["source"] for row in account.read_raw_rows(1)} == {"remote_data"}


@pytest.mark.usefixtures("pulled")
def test_carrying_reports_the_number_of_rows_and_the_oldest_fetch(account):
    result = account.run_day(1)
    assert result.rows.carried == account.count_sources(1)["carried"]
    assert result.rows.oldest_fetch == min(row["fetched_at"] for row in account.read_rows(1))


@pytest.mark.parametrize("strays", [[], [{"id": "trainer", "role": "instructor"}]])
def test_carrying_reports_the_calls_that_it_saves_compared_with_fetching_everything(account, portal, strays):
    portal.strays = strays  # roster entries without an enrollment
    assert account.run_day(0).pairs.calls_saved == 0
    carrying = account.run_day(1)
    sent = account.count_calls().total()
    assert account.run_day(2, may_carry=False).pairs.calls_saved == 0
    assert carrying.pairs.calls_saved == account.count_calls().total() - sent > 0


def test_carrying_stops_when_too_many_pairs_change_without_a_sign(account, portal):
    portal.hidden = True
    account.run_day(0)
    result = account.run_day(1)
    assert result.pairs.planned["changed"] == 0
    assert result.pairs.rotation_fetched == -(-PAIRS // 7)
    # the rotation begins with the first pairs of the plan; one in twenty of them changes
    enrollments = [portal.one(learner, step, 1) for learner in range(LEARNERS) for step in range(COURSES_PER_LEARNER)]
    by_course = sorted(range(PAIRS), key=lambda n: (int(enrollments[n].course_id), n))
    assert result.pairs.rotation_changed == sum(
        enrollments[n].changed_on == 1 for n in by_course[: result.pairs.rotation_fetched]
    )
    assert result.pairs.stops_carrying is (result.pairs.rotation_changed > result.pairs.rotation_fetched * 0.01)
    account.run_day(2, may_carry=False)
    assert read_stored_rows(account, 2) == build_expected_rows(portal, 2)
    assert account.count_sources(2) == {"unified": PAIRS}


def test_carrying_goes_on_if_responses_have_earlier_attempts_too(account, portal):
    portal.with_attempts = True
    account.run_day(0)
    result = account.run_day(1)
    assert result.rows.duplicates.total > 0
    assert (result.pairs.rotation_fetched > 0, result.pairs.rotation_changed) == (True, 0)
    assert not result.pairs.stops_carrying


@pytest.mark.usefixtures("pulled")
def test_carrying_uses_the_previous_snapshot_as_it_is_at_the_start_of_the_run(account, portal):
    account.run_day(1, report_plan=lambda _plan: account.delete_files(0))
    assert account.count_sources(1)["carried"] > 0
    assert read_stored_rows(account, 1) == build_expected_rows(portal, 1)


def store_credentials(account, day):
    """Give each row of a day a credential, as an older version stored them."""
    stored = json.dumps({"login_key": "CANARY"})
    for file, columns in (("raw", ["payload"]), ("unified", ["extra", "custom_fields"])):
        path = account.path(file, day)
        metadata = {f"{PREFIX}{name}": value for name, value in read_metadata(path).items() if name != "checksum"}
        table = pq.read_table(path, partitioning=None).replace_schema_metadata(metadata)
        for name in columns:
            values = pa.array([stored] * len(table), pa.string())
            table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)
        pq.write_table(table, path)


@pytest.mark.usefixtures("pulled")
def test_carrying_removes_credentials_that_an_older_version_stored(account):
    store_credentials(account, 0)
    account.run_day(1)
    pairs = {(row["user_id"], row["course_id"]) for row in account.read_rows(1) if row["source"] == "carried"}
    assert pairs
    raw = [row for row in account.read_raw_rows(1) if (row["user_id"], row["course_id"]) in pairs]
    cleaned = '{"login_key": "[removed]"}'
    digest = hashlib.sha256(cleaned.encode()).hexdigest()
    assert {(row["payload"], row["payload_sha256"]) for row in raw} == {(cleaned, digest)}
    assert "CANARY" not in str(account.read_rows(1))


@pytest.mark.usefixtures("pulled")
@pytest.mark.parametrize("file", ["details", "raw", "unified"])
def test_carrying_skips_a_damaged_snapshot_and_logs_a_warning(account, caplog, file):
    account.path(file, 0).write_bytes(b"PAR1 and no more")
    account.run_day(1)
    assert account.count_sources(1) == {"unified": PAIRS}
    assert "is damaged: restore it" in caplog.text
    assert "Nothing is carried over from it today" in caplog.text


@pytest.mark.usefixtures("pulled")
@pytest.mark.parametrize("trouble", ["roster entries are lost", "another strategy", "another plan"])
def test_carrying_needs_a_previous_snapshot_with_roster_entries_of_the_same_strategy_and_plan(account, trouble):
    if trouble == "roster entries are lost":
        for path in (account.runner.root / "state" / "details").rglob("*.parquet"):
            path.unlink()
    options = {
        "roster entries are lost": {},
        "another strategy": {"strategy": "learner"},
        "another plan": {"remote_data": "drop"},
    }
    account.run_day(1, options=options[trouble])
    assert account.count_sources(1) == {"unified": PAIRS}
