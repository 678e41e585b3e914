"""What single sections say: of what is not known, of what nothing counts in, and of equal titles."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.accounts.rules import RULES_ENTRY
from lms_pipeline.errors import LmsPipelineError
from lms_pipeline.lake.paths import DataDir, Partition
from lms_pipeline.metrics.portfolio_days import find_portfolio_changes
from lms_pipeline.report.content import Curve, build_content, name_courses
from lms_pipeline.report.page import build_sections
from lms_pipeline.report.reading import NothingToReportError
from lms_pipeline.report.sections.attention import format_message
from lms_pipeline.report.sections.headline import list_notes
from lms_pipeline.report.sections.mandatory import build_mandatory
from lms_pipeline.report.sections.over_time import build_curve_section, build_trend_section
from lms_pipeline.report.small_groups import CurvePoint, Figures, ShownRate
from lms_pipeline.report.trend import TrendPoint
from lms_pipeline.settings import Settings
from lms_pipeline.tables.attention import ATTENTION
from lms_pipeline.tables.metrics import ACCOUNT_COMPLETION, COURSE_COMPLETION
from lms_pipeline.tables.over_time import COHORT_COMPLETION, COMPLETION_CURVE
from lms_pipeline.tables.pulled import RAW_ENROLLMENTS
from lms_pipeline_tests.support.lake_files import PROVENANCE, write
from lms_pipeline_tests.support.report_lake import (
    DAY,
    NOW,
    Enrolled,
    count,
    count_courses,
    lack_raw_records,
    publish_day,
    publish_portfolio_row,
    register,
)

OVERDUE = [Enrolled(f"u{number}", "c", is_due=True) for number in range(3)]


@pytest.fixture
def data(tmp_path):
    data = DataDir(tmp_path)
    register(data, {"acme": "Acme", "beta": "Beta"})
    return data


def build(data, limit=1, account_id=None):
    return build_content(Settings(data_dir=data.root, frozen_now=NOW, min_cohort=limit), account_id=account_id)


def read_section(content, name):
    return next(section for section in build_sections(content) if section.id == name)


class TestMissingTables:
    SENTENCE = "The metrics of this account have no table {} yet: materialize the metrics of the day again."

    @pytest.fixture
    def content(self, data):
        publish_day(data, "acme", DAY, OVERDUE, has_details=False)
        return build(data, account_id="acme")

    @pytest.mark.parametrize(("section", "table"), [("cohorts", COHORT_COMPLETION), ("curves", COMPLETION_CURVE)])
    def test_are_said_instead_of_no_enrollment(self, content, section, table):
        assert read_section(content, section).lead == self.SENTENCE.format(table.name)

    def test_of_attention_are_not_nobody(self, content):
        section = read_section(content, "attention")
        assert (section.lead, section.notes) == ("Not known.", [self.SENTENCE.format(ATTENTION.name)])

    def test_of_one_of_two_accounts_are_a_note(self, data):
        publish_day(data, "acme", DAY, OVERDUE, has_details=False)
        publish_day(data, "beta", DAY, OVERDUE)
        assert read_section(build(data), "attention").notes[0].startswith("The metrics of 1 account have no table")


def test_nobody_is_said_together_with_what_is_not_known(data):
    publish_day(data, "acme", DAY, [Enrolled("u1", "c", "completed")])
    section = read_section(build(data, account_id="acme"), "attention")
    assert section.lead == "Nobody."
    assert section.notes == [
        "Of 4 started enrollments nothing says when the learner was last active: they are not counted as idle."
    ]


class TestMandatoryWithoutARate:
    def lead(self, data, **counts):
        enrollments = [Enrolled("u1", "c")]
        known = {"n_due": None, "n_required": None, "n_mandatory_withdrawn": None} | counts
        row = count(enrollments) | known | {"overdue_rate": None, "overdue_rate_num": None, "overdue_rate_den": None}
        publish_day(data, "acme", DAY, enrollments)
        names = ACCOUNT_COMPLETION.column_names
        kept = {name: value for name, value in row.items() if name in names}
        write(data.file(ACCOUNT_COMPLETION, Partition("acme", DAY)), ACCOUNT_COMPLETION, kept)
        return build_mandatory(build(data, account_id="acme")).lead

    def test_and_without_any_data_names_the_rules(self, data):
        assert "A file of rules (LMS_RULES_FILE) can set them." in self.lead(data)

    def test_of_which_all_are_withdrawn(self, data):
        assert self.lead(data, n_required=0, n_mandatory_withdrawn=10) == (
            "There is no figure for compliance yet: no enrollment is mandatory now, 10 mandatory enrollments withdrawn."
        )

    def test_of_which_all_are_due_later(self, data):
        assert self.lead(data, n_due=0) == "There is no figure for compliance yet: no due day has come."


@pytest.mark.parametrize(
    ("open_ones", "sentence"),
    [
        (1, " 1 mandatory enrollment is open and not yet due, and counts as not completed."),
        (2, " 2 mandatory enrollments are open and not yet due, and count as not completed."),
    ],
)
def test_mandatory_enrollments_with_time_left_stand_beside_the_rate(data, open_ones, sentence):
    later = [Enrolled(f"u{number}", "c", is_required=True) for number in range(open_ones)]
    publish_day(data, "acme", DAY, [Enrolled("done", "c", "completed", is_required=True), *later])
    assert build_mandatory(build(data, account_id="acme")).lead.endswith(sentence)


def test_with_a_limit_a_rate_of_mandatory_training_has_a_warning_without_a_number(company):
    notes = build_mandatory(build_content(company(60))).notes
    assert [note for note in notes if "Withdrawn mandatory enrollments" in note]
    assert not any(character.isdigit() for note in notes for character in note)


class TestAccountsWithoutTheDay:
    def test_are_found_without_a_portfolio(self, data):
        publish_day(data, "acme", DAY, OVERDUE)
        assert "1 account has no snapshot of this day: Beta." in list_notes(build(data))

    def test_have_their_status(self, data):
        publish_day(data, "acme", DAY, OVERDUE)
        registered = msgspec.json.decode(data.registry.read_bytes())
        data.registry.write_bytes(msgspec.json.encode([{**one, "status": "needs_reauth"} for one in registered]))
        assert build(data).accounts_missing == ["Beta (needs_reauth)"]

    def test_are_named_up_to_ten(self, data):
        register(data, {f"x{number}": f"X{number}" for number in range(12)})
        publish_day(data, "acme", DAY, OVERDUE)
        assert list_notes(build(data))[0].endswith("X8 and 3 more.")

    def test_are_none_in_a_report_of_one_account(self, data):
        publish_day(data, "acme", DAY, OVERDUE)
        assert build(data, account_id="acme").accounts_missing == ()

    def test_are_said_in_the_message(self, data):
        publish_day(data, "acme", DAY, OVERDUE)
        message = "All accounts (1 of 2), 2026-03-31: 3 open enrollments need attention: 3 overdue."
        assert format_message(build(data)) == message


def test_an_outdated_portfolio_is_not_in_the_trend(data):
    """The stored row says 1 enrollment, the account's file 3."""
    earlier = DAY - timedelta(days=7)
    publish_portfolio_row(data, earlier, count([Enrolled("u1", "c")]), accounts=1, missing=0)
    for day in (earlier, DAY):
        publish_day(data, "acme", day, OVERDUE)
    assert [point.figures.enrollments for point in build(data).points] == [3, 3]


def test_a_portfolio_without_an_account_of_its_day_is_not_in_the_trend(data):
    """The file of `beta` could not be read when it was computed."""
    earlier = DAY - timedelta(days=7)
    for day in (earlier, DAY):
        for account_id in ("acme", "beta"):
            publish_day(data, account_id, day, OVERDUE)
    origin = find_portfolio_changes(data, Registry(data).read_accounts()).outdated[earlier]
    publish_portfolio_row(data, earlier, count(OVERDUE), accounts=1, missing=1, origin=origin)
    assert [point.figures.enrollments for point in build(data).points] == [6, 6]


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:40])


DETAILS = (ACCOUNT_COMPLETION, COURSE_COMPLETION, ATTENTION, COHORT_COMPLETION, COMPLETION_CURVE)


class TestADamagedFile:
    @pytest.mark.parametrize("table", DETAILS, ids=lambda table: table.name)
    @pytest.mark.parametrize("harm", [damage, cut])
    def test_leaves_its_account_out(self, data, table, harm):
        for account_id in ("acme", "beta"):
            publish_day(data, account_id, DAY, OVERDUE)
        harm(data.file(table, Partition("acme", DAY)))
        content = build(data)
        assert [account.name for account in content.accounts] == ["Beta"]
        assert "1 account is left out, since its files can't be used: Acme." in list_notes(content)
        assert "Left out because its files can't be used: Acme." in read_section(content, "quality").notes

    def test_of_the_only_account_is_an_error(self, data):
        publish_day(data, "acme", DAY, OVERDUE)
        cut(data.file(COURSE_COMPLETION, Partition("acme", DAY)))
        with pytest.raises(LmsPipelineError, match="is damaged"):
            build(data)

    def test_of_an_earlier_day_leaves_the_day_out(self, data):
        for day in (DAY - timedelta(days=7), DAY):
            publish_day(data, "acme", day, OVERDUE)
        cut(data.file(ACCOUNT_COMPLETION, Partition("acme", DAY - timedelta(days=7))))
        assert [point.day for point in build(data).points] == [DAY]


def test_a_cohort_is_the_sum_over_accounts(data):
    """Each month has a sixth of 12 and of 24 enrollments; after 3 months half of 2 and a quarter of 4 are completed.

    Of `gamma` no enrollment is in a cohort.
    """
    register(data, {"gamma": "Gamma"})
    for account_id, size, done in (("acme", 12, 6), ("beta", 27, 6), ("gamma", 5, 0)):
        enrollments = [Enrolled(f"u{n}", "c", "completed" if n < done else "in_progress") for n in range(size)]
        publish_day(data, account_id, DAY, enrollments)
    table = read_section(build(data), "cohorts").exhibits[0].table
    month = table.rows[0]
    assert (month[0].text, month[1].text, month[5].text) == ("Oct 2025", "6", "33.3%")
    assert read_section(build(data), "cohorts").notes == ["8 enrollments without usable dates left out."]


@pytest.mark.parametrize(
    ("courses", "names"),
    [
        ([("a", "c1", "Fire"), ("a", "c2", "First aid")], ["Fire", "First aid"]),
        ([("a", "c1", "Fire"), ("a", "c2", " Fire\n")], ["Fire · c1", "Fire · c2"]),
        ([("a", "c1", "Fire"), ("b", "c1", "Fire")], ["Fire", "Fire"]),
        ([("a", "c1", " "), ("a", "c2", "\u200b"), ("a", "c3", None)], ["c1", "c2", "c3"]),
    ],
)
def test_courses_of_one_title_have_their_id(courses, names):
    assert name_courses(courses) == names


def publish_other_courses(data, metadata):
    """Publish courses of `acme` with metadata that its other tables do not have."""
    path = data.file(COURSE_COMPLETION, Partition("acme", DAY))
    names = COURSE_COMPLETION.column_names
    rows = [{name: value for name, value in row.items() if name in names} for row in count_courses(OVERDUE)]
    write(path, COURSE_COMPLETION, *rows, metadata={**PROVENANCE, **metadata})


@pytest.mark.parametrize("entry", [RULES_ENTRY, "source_digest"])
class TestTablesOfDifferentRulesOrPulls:
    def test_are_named(self, data, entry):
        publish_day(data, "acme", DAY, OVERDUE)
        publish_other_courses(data, {entry: "other"})
        (note,) = [note for note in read_section(build(data), "quality").notes if "different rules" in note]
        assert note.endswith("again: Acme.")

    def test_are_not_shown_with_a_limit(self, data, entry):
        """The difference between both may be a small group."""
        for account_id in ("acme", "beta"):
            publish_day(data, account_id, DAY, OVERDUE)
        publish_other_courses(data, {entry: "other"})
        content = build(data, limit=3)
        assert ([account.name for account in content.accounts], content.accounts_damaged) == (["Beta"], ["Acme"])


class TestMissingRawRecords:
    def test_are_said_with_their_reason(self, data):
        publish_day(data, "acme", DAY, OVERDUE)
        lack_raw_records(data, "acme", "Truto refused 3 of them.")
        assert read_section(build(data, account_id="acme"), "quality").notes[0] == (
            "Acme lacks raw records: without a role an instructor counts as a learner. Truto refused 3 of them."
        )

    def test_are_said_without_the_reason_if_counts_are_withheld(self, data):
        publish_day(data, "acme", DAY, OVERDUE)
        lack_raw_records(data, "acme", "Truto refused 3 of them.")
        assert read_section(build(data, 3, "acme"), "quality").notes[0] == (
            "Acme lacks raw records: without a role an instructor counts as a learner."
        )

    def test_are_not_known_of_a_damaged_file_and_leave_nothing_out(self, data):
        publish_day(data, "acme", DAY, OVERDUE)
        lack_raw_records(data, "acme", "Truto refused 3 of them.")
        cut(data.file(RAW_ENROLLMENTS, Partition("acme", DAY)))
        content = build(data, account_id="acme")
        assert ([account.name for account in content.accounts], content.accounts_damaged) == (["Acme"], [])

    def test_of_another_pull_are_not_said(self, data):
        publish_day(data, "acme", DAY, OVERDUE)
        lack_raw_records(data, "acme", "Truto refused 3 of them.", run_id="another")
        assert not any("raw records" in note for note in read_section(build(data), "quality").notes)


def test_a_day_before_the_first_names_the_first(data):
    publish_day(data, "acme", DAY, OVERDUE)
    with pytest.raises(NothingToReportError, match="on 2026-03-30: the first day is 2026-03-31"):
        build_content(Settings(data_dir=data.root, frozen_now=NOW), DAY - timedelta(days=1))


def make_curve(*completed):
    points = [CurvePoint(day, 10, share, None, None, 0.0, None, None, 1 - share) for day, share in completed]
    return Curve("Acme", points, 0)


@pytest.mark.parametrize(
    ("curve", "sentence"),
    [
        (make_curve((0, 0), (10, 0.25)), "25.0% complete within 10 days of enrollment."),
        (
            make_curve((0, 0), (20, 0.25), (45, 0.6), (60, 0.7)),
            "25.0% complete within 30 days of enrollment. Half complete within 45 days.",
        ),
        (
            make_curve((0, 0), (20, 0.25), (45, 0.4)),
            "25.0% complete within 30 days of enrollment. Fewer than half have completed so far.",
        ),
    ],
)
def test_a_curve_is_described_by_30_days_and_its_median(company, curve, sentence):
    content = build_content(company(), account_id="lakes")
    account = replace(content.accounts[0], curve=curve)
    section = build_curve_section(replace(content, accounts=[account]))
    assert section.lead == sentence


@pytest.mark.parametrize(
    ("days", "lead"),
    [
        (
            [3, 0],
            "2 days so far: a change over 7 days needs a snapshot of 7 to 10 days before, with the same accounts.",
        ),
        ([7, 0], "The completion rate is 50.0 percentage points more than on 24 March 2026."),
        (
            [28, 7, 0],
            (
                "The completion rate is 50.0 percentage points more than on 24 March 2026, and "
                "50.0 percentage points more than on 3 March 2026."
            ),
        ),
    ],
)
def test_a_trend_is_described_by_its_changes(company, days, lead):
    points = [
        TrendPoint(
            DAY - timedelta(days=back),
            Figures(4, 4, 4, {"completion_rate": ShownRate(0.25 if back else 0.75, 1, 4)}),
            frozenset({"lakes"}),
        )
        for back in days
    ]
    content = build_content(company(), account_id="lakes")
    assert build_trend_section(replace(content, points=points)).lead == lead
