"""Lists of accounts that lack many of the active ones: what is refused, and what is allowed once."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms_pipeline.accounts.registry import AccountDropError, Registry
from lms_pipeline.accounts.sync import Refusal, read_refusal, sync_with_truto
from lms_pipeline.errors import LmsPipelineError, WrongUseError
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.settings import Settings
from lms_pipeline.truto.models import IntegratedAccount, Integration
from lms_pipeline_tests.support.scripted_api import ScriptedClient, ScriptedResponse, page

MONDAY, TUESDAY = date(2026, 3, 2), date(2026, 3, 3)
NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
ALLOW = "if they are really gone, run `lms-pipeline accounts sync --allow-drop` once."


def lms(account_id, status="active", category="lms"):
    return IntegratedAccount(account_id, None, status, Integration(name="otherlms", category=category))


def fill(registry, *accounts):
    """Add these accounts of Truto to the registry."""
    registry.sync(accounts, integrations=(), day=MONDAY)


def sync(registry, *accounts, allow_drop=False):
    return registry.sync(accounts, integrations=(), day=TUESDAY, allow_drop=allow_drop)


def read_statuses(registry):
    return {account.id: account.status for account in registry.read_accounts()}


@pytest.fixture
def registry(tmp_path):
    return Registry(DataDir(tmp_path))


@pytest.mark.parametrize(
    ("known", "still_listed", "is_refused"),
    [
        ("a", "", True),
        ("ab", "a", False),
        ("abc", "ab", False),
        ("abc", "a", True),
        ("abcd", "ab", False),
        ("abcd", "a", True),
        ("abcde", "abc", False),
        ("abcde", "ab", True),
    ],
)
def test_a_list_that_lacks_more_than_half_is_refused_even_if_it_has_new_accounts(
    registry, known, still_listed, is_refused
):
    fill(registry, *map(lms, known))
    before = registry.read_accounts()
    listed = [*map(lms, still_listed), lms("new")]
    if is_refused:
        with pytest.raises(AccountDropError):
            sync(registry, *listed)
        assert registry.read_accounts() == before
    else:
        assert sync(registry, *listed) == ["new"]
        assert {one for one, status in read_statuses(registry).items() if status == "gone"} == {*known} - {
            *still_listed
        }


@given(known=st.sets(st.integers(0, 30)), listed=st.sets(st.integers(0, 30)), other=st.sets(st.integers(31, 33)))
def test_a_list_is_refused_if_it_is_empty_or_lacks_more_than_half(known, listed, other):
    with TemporaryDirectory() as folder:
        registry = Registry(DataDir(Path(folder)))
        if known:
            fill(registry, *(lms(f"a{one}") for one in known))
        accounts = [*(lms(f"a{one}") for one in listed), *(lms(f"a{one}", category="crm") for one in other)]
        try:
            sync(registry, *accounts)
            is_refused = False
        except AccountDropError:
            is_refused = True
    assert is_refused is (not accounts or 2 * len(known - listed) > len(known))


def test_the_sentence_counts_what_the_list_lacks_and_names_the_option(registry):
    fill(registry, *map(lms, "abc"))
    with pytest.raises(AccountDropError) as caught:
        sync(registry, lms("a"))
    assert str(caught.value) == (
        f"Truto's list of accounts lacks 2 of 3 active ones, and the registry was not changed: {ALLOW}"
    )
    assert isinstance(caught.value, LmsPipelineError)
    assert not isinstance(caught.value, WrongUseError)  # exit status 1


@pytest.mark.parametrize("known", ["a", "abc"])
def test_an_empty_list_is_refused_whatever_is_registered(registry, known):
    fill(registry, *map(lms, known))
    with pytest.raises(AccountDropError) as caught:
        sync(registry)
    assert str(caught.value) == f"Truto lists no account, and the registry was not changed: {ALLOW}"


def test_an_empty_list_for_an_empty_registry_says_what_to_do(registry):
    with pytest.raises(AccountDropError) as caught:
        sync(registry)
    assert str(caught.value) == (
        "Truto lists no account, and none is registered: connect an LMS in Truto, or set TRUTO_API_TOKEN to a token of the "
        "environment that has one."
    )


def test_the_first_sync_may_find_no_lms_among_the_accounts(registry):
    assert sync(registry, lms("a", category="crm")) == []


@pytest.mark.parametrize("other", [lms("a", category="crm"), lms("../a")])
def test_accounts_that_are_no_lms_any_more_or_have_no_usable_id_are_lacking(registry, other):
    fill(registry, lms("a"))
    with pytest.raises(AccountDropError):
        sync(registry, other)


def test_accounts_that_were_not_active_do_not_count(registry):
    fill(registry, lms("a"), lms("b"), lms("c", "needs_reauth"), lms("d", "connecting"), lms("e"))
    registry.remove("e", last_day=MONDAY)
    sync(registry, lms("a"))  # lacks one of two
    assert read_statuses(registry) == {"a": "active", "b": "gone", "c": "gone", "d": "gone", "e": "inactive"}


def test_accounts_that_were_added_by_hand_do_not_count(registry):
    for account_id in ("mine", "yours", "theirs"):
        registry.add(account_id, name=None, first_day=MONDAY)
    sync(registry, lms("a"))
    assert read_statuses(registry) == dict.fromkeys(("mine", "yours", "theirs", "a"), "active")


def test_an_account_that_is_listed_with_another_status_is_not_lacking(registry):
    fill(registry, *map(lms, "abc"))
    sync(registry, *(lms(one, "needs_reauth") for one in "abc"))
    assert set(read_statuses(registry).values()) == {"needs_reauth"}


def test_accounts_that_are_listed_again_are_active_and_count_again(registry):
    fill(registry, *map(lms, "abc"))
    sync(registry, lms("a"), allow_drop=True)
    sync(registry, *map(lms, "abc"))
    with pytest.raises(AccountDropError, match="lacks 2 of 3 active ones"):
        sync(registry, lms("a"))


def test_an_allowed_drop_marks_the_missing_accounts_as_gone(registry):
    fill(registry, *map(lms, "abc"))
    sync(registry, allow_drop=True)
    assert read_statuses(registry) == dict.fromkeys("abc", "gone")


def test_after_a_drop_was_allowed_once_the_same_list_passes(registry):
    fill(registry, *map(lms, "abc"))
    sync(registry, lms("a"), allow_drop=True)
    assert sync(registry, lms("a")) == []


@dataclass
class Installation:
    """A registry whose accounts come from scripted responses."""

    folder: Path

    @property
    def data(self):
        return DataDir(self.folder)

    @property
    def registry(self):
        return Registry(self.data)

    def sync(self, *responses: ScriptedResponse, allow_drop=False):
        settings = Settings(data_dir=self.folder, frozen_now=NOW)
        return sync_with_truto(lambda: ScriptedClient(*responses), self.registry, settings, allow_drop=allow_drop)


@pytest.fixture
def installation(tmp_path):
    return Installation(tmp_path)


def wire(*account_ids):
    integration = {"name": "otherlms", "category": "lms"}
    return [{"id": one, "status": "active", "integration": integration} for one in account_ids]


class TestRefusal:
    """What a refused list leaves for the check of the fleet."""

    def test_is_remembered_with_its_time_until_a_list_is_used(self, installation):
        installation.sync(page(*wire("a", "b", "c")))
        assert read_refusal(installation.data) is None
        with pytest.raises(AccountDropError) as caught:
            installation.sync(page())
        assert read_refusal(installation.data) == Refusal(str(caught.value), NOW)
        installation.sync(page(*wire("a", "b")))
        assert read_refusal(installation.data) is None

    def test_is_forgotten_after_an_allowed_drop(self, installation):
        installation.sync(page(*wire("a", "b", "c")))
        with pytest.raises(AccountDropError):
            installation.sync(page(*wire("a")))
        installation.sync(page(*wire("a")), allow_drop=True)
        assert read_refusal(installation.data) is None

    def test_keeps_the_time_of_the_first_of_equal_refusals(self, installation):
        with pytest.raises(AccountDropError):
            installation.sync(page())
        first = read_refusal(installation.data)
        settings = Settings(data_dir=installation.folder, frozen_now=datetime(2026, 3, 4, tzinfo=UTC))
        with pytest.raises(AccountDropError):
            sync_with_truto(lambda: ScriptedClient(page()), installation.registry, settings)
        assert read_refusal(installation.data) == first

    def test_that_can_not_be_read_is_still_one(self, installation):
        with pytest.raises(AccountDropError):
            installation.sync(page())
        installation.data.accounts_refused.write_bytes(b"{")
        assert read_refusal(installation.data) is not None


class TestAnnouncedLength:
    """Lists of accounts whose pages say how many records there are."""

    @pytest.mark.parametrize(
        "pages",
        [
            [page(*wire("a", "b", "c"), result_count=4)],
            [page(*wire("a", "b"), result_count=4, cursor="1"), page(*wire("c"), result_count=4)],
            [page(*wire("a", "b"), result_count=4, cursor="1"), page(*wire("c"))],
            [page(*wire("a", "b"), cursor="1"), page(*wire("c"), result_count="4")],
            [page(*wire("a", "b", "c"), cursor="1"), page(result_count=4)],
        ],
    )
    def test_that_is_not_reached_changes_nothing(self, installation, pages):
        installation.sync(page(*wire("a", "b", "c", "d")))
        before = installation.registry.read_accounts()
        with pytest.raises(AccountDropError) as caught:
            installation.sync(*pages)
        assert str(caught.value) == (
            "Truto's list of accounts ends after 3 of the 4 that it announced, and the registry was not changed: try "
            "again later; if it is whole, run `lms-pipeline accounts sync --allow-drop` once."
        )
        assert installation.registry.read_accounts() == before
        assert read_refusal(installation.data) == Refusal(str(caught.value), NOW)
        installation.sync(*pages, allow_drop=True)
        assert read_statuses(installation.registry)["d"] == "gone"

    @pytest.mark.parametrize(
        "pages",
        [
            [page(*wire("a", "b", "c"), result_count=3)],
            [page(*wire("a", "b"), result_count=3, cursor="1"), page(*wire("c"), result_count=3)],
            [page(*wire("a", "b"), result_count=2, cursor="1"), page(*wire("c"), result_count=1)],
            [page(*wire("a", "b", "c"), result_count=2)],
            [page(*wire("a", "b", "c"), result_count=None)],
            [page(*wire("a", "b", "c"), result_count="many")],
            [page(*wire("a", "b", "c"), result_count=-1)],
        ],
    )
    def test_that_is_reached_or_can_not_be_read_is_no_fault(self, installation, pages):
        assert installation.sync(*pages) == ["a", "b", "c"]
