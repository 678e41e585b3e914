"""Lists whose pages announce more records (`result_count`) than they bring."""

import pytest

from lms_pipeline.accounts.options import AccountOptions
from lms_pipeline.lake.row_drop import RowDropError
from lms_pipeline_tests.support.full import choose
from lms_pipeline_tests.support.scripted_api import page
from lms_pipeline_tests.support.scripted_server import serve
from lms_pipeline_tests.support.snapshot_runs import SnapshotRunner, record, respond_by_path

PATHS = ["enrollments", "users", "courses"]
NUMBERS = [(0, 1, True), (0, 100, True), (4, 9, True), (5, 10, False), (9, 10, False), (2, 5, True), (1, 4, False)]
"""Records that a list brings and announces, and whether it is refused."""
ROWS = {
    "enrollments": lambda number: record(f"u{number}"),
    "users": lambda number: {"id": f"u{number}"},
    "courses": lambda number: {"id": f"c{number}"},
}


def serve_list(path, received, announced):
    """Script one list with these numbers of records in two pages; the other lists are empty."""
    rows = [ROWS[path](number) for number in range(received)]
    pages = [page(*rows[:2], cursor="1", result_count=announced), page(*rows[2:], result_count=announced)]
    return respond_by_path(**{path: pages})


def run(tmp_path, path, received, announced, **more):
    with serve(serve_list(path, received, announced)) as server:
        runner = SnapshotRunner(tmp_path, server.url)
        return runner, runner.run(**more)


@pytest.mark.parametrize(
    ("path", "received", "announced", "is_refused"),
    [
        (path, *numbers)
        for place, path in enumerate(PATHS)
        for numbers in choose(NUMBERS if place == 0 else NUMBERS[place - 1 :: 2], NUMBERS)
    ],
)
def test_a_list_that_lacks_more_of_its_announced_records_than_max_drop_is_refused(
    tmp_path, path, received, announced, is_refused
):
    if is_refused:
        with pytest.raises(RowDropError):
            run(tmp_path, path, received, announced)
        assert SnapshotRunner(tmp_path, "").list_published_tables() == []
    else:
        runner, result = run(tmp_path, path, received, announced)
        assert (result.complete, runner.read_metadata()["complete"]) == (False, "false")


@pytest.mark.parametrize("path", PATHS)
def test_the_sentence_names_the_list_and_both_numbers(tmp_path, path):
    with pytest.raises(RowDropError) as caught:
        run(tmp_path, path, 4, 100)
    assert str(caught.value) == (
        f"The list of {path} of acme on 2026-03-01 ends after 4 of the 100 that it announced: a drop of 96%, and max_drop "
        "is 50%; nothing was published. If they are really gone, run it once with `--allow-drop`, or with allow_drop in "
        "the UI's launchpad."
    )


@pytest.mark.parametrize("path", PATHS)
def test_a_run_that_allows_the_drop_publishes_an_incomplete_snapshot(tmp_path, path):
    _, result = run(tmp_path, path, 4, 100, allow_drop=True)
    assert not result.complete


@pytest.mark.parametrize("path", PATHS)
def test_a_list_that_brings_what_it_announced_or_counts_its_pages_is_complete(tmp_path, path):
    assert run(tmp_path / "whole", path, 4, 4)[1].complete
    assert run(tmp_path / "page", path, 4, 2)[1].complete


@pytest.mark.parametrize("table", ["learners", "courses"])
def test_a_run_for_one_list_refuses_it_as_well(tmp_path, table):
    path = {"learners": "users", "courses": "courses"}[table]
    with pytest.raises(RowDropError):
        run(tmp_path, path, 4, 100, tables=[table])


def test_an_account_may_allow_a_larger_drop(tmp_path):
    _, result = run(tmp_path, "enrollments", 4, 100, options=AccountOptions(page_size=2, max_drop=0.97))
    assert not result.complete
