"""What the report shows of a lake, with and without small groups."""

from datetime import timedelta

import pytest

from lms_pipeline.errors import WrongUseError
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.report.content import build_content
from lms_pipeline.report.reading import NothingToReportError
from lms_pipeline.report.trend import find_change
from lms_pipeline.settings import Settings
from lms_pipeline_tests.report.conftest import DAYS_BACK
from lms_pipeline_tests.support.report_lake import DAY, NOW, Enrolled, publish_day, register


@pytest.fixture(scope="module")
def everything(company):
    return build_content(company())


@pytest.fixture(scope="module")
def limited(company):
    return build_content(company(60))


class TestAllAccounts:
    def test_are_those_of_the_latest_day_the_largest_first(self, everything):
        assert everything.day == DAY
        assert [account.name for account in everything.accounts] == [
            "Northwind Traders",
            "Southridge Video",
            "Lakeside Clinics",
        ]

    def test_are_added_up(self, everything):
        assert everything.figures.enrollments == sum(
            account.shown.figures.enrollments for account in everything.accounts
        )

    def test_have_a_point_for_each_day(self, everything):
        assert [point.day for point in everything.points] == [DAY - timedelta(days=back) for back in DAYS_BACK]

    def test_say_which_accounts_are_missing(self, everything):
        assert everything.accounts_missing == ["Contoso"]

    def test_have_no_names(self, everything):
        assert everything.attention_names.rows == ()


class TestALimit:
    def test_leaves_courses_and_accounts_out_of_the_total(self, everything, limited):
        shown = [course for _, course in limited.courses.largest]
        assert all(course.figures.learners >= 60 for course in shown)
        assert limited.figures.enrollments == sum(course.figures.enrollments for course in shown)
        assert limited.figures.enrollments < everything.figures.enrollments
        assert limited.accounts_left_out + len(limited.accounts) == 3

    def test_applies_to_the_days_before(self, limited):
        assert len(limited.points) == len(DAYS_BACK)
        assert all(point.figures.counts == {} for point in limited.points)

    def test_leaves_no_count_in_an_account(self, limited):
        assert (limited.cohorts, limited.course_curves, limited.attention_courses.rows) == ((), (), ())
        for account in limited.accounts:
            assert account.shown.figures.counts == {}
            assert all(point.at_risk is None for point in account.curve.points)
            assert all((count.learners, count.enrollments % 60) == (None, 0) for count in account.reasons)

    @pytest.mark.parametrize(("small", "has_curve"), [((), True), (("x1",), False)])
    def test_withholds_the_curve_of_an_account_where_a_course_is_left_out(self, tmp_path, small, has_curve):
        data = DataDir(tmp_path)
        register(data, {"acme": "Acme"})
        publish_day(
            data, "acme", DAY, [*(Enrolled(f"u{n}", "a") for n in range(9)), *(Enrolled(one, "b") for one in small)]
        )
        content = build_content(Settings(data_dir=tmp_path, frozen_now=NOW, min_cohort=3))
        assert bool(content.accounts[0].curve.points) is has_curve

    def test_makes_days_with_other_shown_courses_incomparable(self, tmp_path):
        data = DataDir(tmp_path)
        register(data, {"acme": "Acme"})
        for back, size in ((7, 2), (0, 3)):
            learners = [*(Enrolled(f"u{n}", "a") for n in range(9)), *(Enrolled(f"u{n}", "b") for n in range(size))]
            publish_day(data, "acme", DAY - timedelta(days=back), learners)
        points = build_content(Settings(data_dir=tmp_path, frozen_now=NOW, min_cohort=3)).points
        assert len(points) == 2
        assert find_change(points, "completion_rate", 7) is None

    def test_refuses_names(self, company):
        with pytest.raises(WrongUseError, match="LMS_MIN_COHORT is 60"):
            build_content(company(60), account_id="north", with_names=True)


def test_names_are_listed_on_request_the_strongest_reason_first(company):
    content = build_content(company(), account_id="north", with_names=True)
    reasons = [row["reason"] for row in content.attention_names.rows]
    assert reasons[0] == "overdue"
    assert sorted(reasons, key=["overdue", "due_soon", "stuck", "idle", "never_started"].index) == reasons


def test_one_account_has_curves_of_its_largest_courses(company):
    content = build_content(company(), account_id="north")
    assert len(content.course_curves) == 6
    assert content.accounts[0].curve.points[0].day == 0


def test_an_earlier_day_can_be_chosen(company):
    day = DAY - timedelta(days=3)
    content = build_content(company(), day)
    assert (content.day, content.points[-1].day) == (day, day)


def test_a_day_without_metrics_is_refused(company):
    with pytest.raises(NothingToReportError, match=r"no completion metrics on 2026-04-01.*is 2026-03-31"):
        build_content(company(), DAY + timedelta(days=1))


def test_an_empty_lake_is_refused(tmp_path):
    with pytest.raises(NothingToReportError, match="run `lms-pipeline materialize` first"):
        build_content(Settings(data_dir=tmp_path))


def test_a_day_of_an_older_version_has_no_cohorts_and_curves(tmp_path):
    data = DataDir(tmp_path)
    register(data, {"acme": "Acme"})
    publish_day(data, "acme", DAY, [Enrolled("u1", "c1", "completed")], has_details=False)
    content = build_content(Settings(data_dir=tmp_path, frozen_now=NOW))
    (account,) = content.accounts
    assert (content.cohorts, account.curve.points, account.reasons, account.quality.rejected) == ([], [], [], None)
