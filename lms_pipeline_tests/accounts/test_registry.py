"""The registry: who comes in, who stays out, who is gone, and that nothing written at once is lost."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest

from lms_pipeline.accounts.registry import RegisteredAccount, Registry, UnknownAccountError
from lms_pipeline.accounts.sync import sync_with_truto
from lms_pipeline.errors import LmsPipelineError, WrongUseError
from lms_pipeline.lake.paths import BadIdError, DataDir
from lms_pipeline.sandbox import running
from lms_pipeline.settings import Settings
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.models import IntegratedAccount, Integration
from lms_pipeline_tests.support.sandbox import SmallWorld
from lms_pipeline_tests.support.scripted_api import TOKEN, ReceivedRequest, ScriptedResponse, page, refusal
from lms_pipeline_tests.support.scripted_server import serve

MONDAY, TUESDAY, WEDNESDAY = date(2026, 3, 2), date(2026, 3, 3), date(2026, 3, 4)
BAD_IDS = [
    *("../../x", "a/b", "..", "", " ", "a b", "a\n", "-a", "_a", "a.b", "ä", "a\x00", "a%2f", "x" * 65),
    *("__HIVE_DEFAULT_PARTITION__", "account_id=a", "*", "a'b"),
]


@pytest.fixture
def registry(tmp_path):
    return Registry(DataDir(tmp_path).registry)


def listed(account_id, status="active", *, integration="TalentLMS", category=None, tenant=None):
    """An account as Truto lists it."""
    return IntegratedAccount(
        account_id, tenant, status, integration=Integration(name=integration, category=category)
    )


def sync(registry, *accounts, today=MONDAY):
    return registry.sync(accounts, integrations=("talentlms",), day=today)


def states(registry):
    """Status and last day by id."""
    return {account.id: (account.status, account.last_day) for account in registry.accounts()}


def test_there_is_nobody_at_first(registry):
    assert (registry.accounts(), registry.active()) == ([], [])


def test_a_new_lms_comes_in_from_the_day_it_is_first_seen(registry):
    assert sync(registry, listed("a", tenant="Acme")) == ["a"]
    assert registry.accounts() == [
        RegisteredAccount(id="a", name="Acme", integration="talentlms", first_day=MONDAY)
    ]


def test_an_account_without_a_tenant_is_called_by_its_id(registry):
    sync(registry, listed("a"))
    assert registry.get("a").name == "a"


def test_a_known_account_is_not_new_and_keeps_its_first_day(registry):
    sync(registry, listed("a"))
    assert sync(registry, listed("a"), listed("b"), today=TUESDAY) == ["b"]
    assert [account.first_day for account in registry.accounts()] == [MONDAY, TUESDAY]


@pytest.mark.parametrize(
    ("integration", "category", "comes_in"),
    [
        ("docebo", "lms", True),
        ("talentlms", None, True),
        ("TalentLMS", "hris", True),
        ("docebo", None, False),
        ("salesforce", "crm", False),
        ("", None, False),
    ],
)
def test_an_lms_is_told_by_its_category_or_by_the_integrations_named(
    registry, integration, category, comes_in
):
    new = sync(registry, listed("a", integration=integration, category=category))
    assert new == (["a"] if comes_in else [])


@pytest.mark.parametrize("status", ["needs_reauth", "connecting", "post_install_error", "validation_error"])
def test_an_account_that_can_not_be_pulled_is_known_and_not_active(registry, status):
    sync(registry, listed("a", status))
    assert (states(registry), registry.active()) == ({"a": (status, None)}, [])


def test_an_account_that_was_reconnected_is_active_again(registry):
    sync(registry, listed("a", "needs_reauth"))
    sync(registry, listed("a"), today=TUESDAY)
    assert states(registry) == {"a": ("active", None)}


def test_an_account_that_is_no_longer_listed_is_gone_from_that_day(registry):
    sync(registry, listed("a"), listed("b"))
    sync(registry, listed("b"), today=TUESDAY)
    sync(registry, listed("b"), today=WEDNESDAY)
    assert states(registry) == {"a": ("gone", TUESDAY), "b": ("active", None)}


def test_an_account_that_is_listed_again_is_back(registry):
    sync(registry, listed("a"))
    sync(registry, today=TUESDAY)
    assert sync(registry, listed("a"), today=WEDNESDAY) == []
    assert states(registry) == {"a": ("active", None)}


def test_an_account_that_was_removed_stays_out(registry):
    sync(registry, listed("a"))
    registry.remove("a", last_day=TUESDAY)
    sync(registry, listed("a"), today=WEDNESDAY)
    assert (states(registry), registry.active()) == ({"a": ("inactive", TUESDAY)}, [])


def test_an_account_that_was_removed_and_is_no_longer_listed_stays_removed(registry):
    sync(registry, listed("a"))
    registry.remove("a", last_day=TUESDAY)
    sync(registry, today=WEDNESDAY)
    assert states(registry) == {"a": ("inactive", TUESDAY)}


def test_removing_again_keeps_the_day_on_which_it_left(registry):
    sync(registry, listed("a"))
    registry.remove("a", last_day=TUESDAY)
    registry.remove("a", last_day=WEDNESDAY)
    assert states(registry) == {"a": ("inactive", TUESDAY)}


def test_an_account_added_by_hand_is_active_and_is_not_gone_when_truto_does_not_list_it(registry):
    registry.add("mine", name="Mine", first_day=MONDAY)
    sync(registry, listed("a"), today=TUESDAY)
    assert [account.id for account in registry.active()] == ["mine", "a"]


def test_an_account_added_without_a_name_is_called_by_its_id(registry):
    assert registry.add("mine", name=None, first_day=MONDAY).name == "mine"


def test_adding_a_removed_account_makes_it_active_and_keeps_its_first_day(registry):
    registry.add("mine", name="Mine", first_day=MONDAY)
    registry.remove("mine", last_day=TUESDAY)
    back = registry.add("mine", name=None, first_day=WEDNESDAY)
    assert (back.status, back.name, back.first_day, back.last_day) == ("active", "Mine", MONDAY, None)


@pytest.mark.parametrize(
    "ask", [lambda known: known.get("x"), lambda known: known.remove("x", last_day=MONDAY)]
)
def test_an_unknown_account_is_wrong_use_and_says_what_to_do(registry, ask):
    with pytest.raises(UnknownAccountError, match="lms-pipeline accounts add x") as refused:
        ask(registry)
    assert isinstance(refused.value, WrongUseError)


@pytest.mark.parametrize("account_id", BAD_IDS)
@pytest.mark.parametrize(
    "ask",
    [
        lambda known, bad: known.get(bad),
        lambda known, bad: known.add(bad, name=None, first_day=MONDAY),
        lambda known, bad: known.remove(bad, last_day=MONDAY),
    ],
    ids=["get", "add", "remove"],
)
def test_an_id_that_could_not_be_a_path_is_refused(registry, ask, account_id):
    with pytest.raises(BadIdError, match="can't be an account id"):
        ask(registry, account_id)


@pytest.mark.parametrize("account_id", BAD_IDS)
def test_an_account_that_truto_lists_under_such_an_id_is_left_out(registry, account_id):
    assert sync(registry, listed(account_id), listed("good")) == ["good"]


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'[{"id":"a"}]', b"\xff\xfe[]", b'[{"id":1}]'])
def test_a_damaged_file_is_told_in_one_sentence_and_left_as_it_is(tmp_path, registry, content):
    path = DataDir(tmp_path).registry
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(
        LmsPipelineError, match=r"^The registry \S+accounts\.json is damaged: .*accounts sync`\.$"
    ):
        registry.add("a", name=None, first_day=MONDAY)
    assert path.read_bytes() == content


def test_threads_that_write_at_once_lose_nothing(tmp_path):
    ids = [f"account-{number}" for number in range(24)]

    def add(account_id):
        Registry(DataDir(tmp_path).registry).add(account_id, name=None, first_day=MONDAY)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, ids))
    assert sorted(states(Registry(DataDir(tmp_path).registry))) == sorted(ids)


def test_who_reads_while_others_write_sees_a_whole_file(tmp_path):
    path = DataDir(tmp_path).registry

    def add(number):
        Registry(path).add(f"account-{number}", name="x" * 10_000, first_day=MONDAY)

    with ThreadPoolExecutor(1) as threads:
        written = [threads.submit(add, number) for number in range(40)]
        seen = [0]
        while not all(one.done() for one in written):
            seen.append(len(Registry(path).accounts()))
    assert seen == sorted(seen)


def test_processes_that_write_at_once_lose_nothing(registry, tmp_path):
    script = (
        "import sys; from datetime import date; from pathlib import Path; from lms_pipeline.accounts.registry import Registry\n"
        "for number in range(20):\n"
        "    Registry(Path(sys.argv[1])).add(f'{sys.argv[2]}{number}', name=None, first_day=date(2026, 3, 2))"
    )
    path = str(DataDir(tmp_path).registry)
    processes = [subprocess.Popen([sys.executable, "-c", script, path, name]) for name in ("left", "right")]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    assert len(registry.accounts()) == 40


def test_the_registry_follows_what_truto_lists(tmp_path, registry):
    with running(SmallWorld()) as sandbox:
        told = Settings(data_dir=tmp_path, frozen_now="2026-03-03T12:00:00Z")
        new = sync_with_truto(lambda: TrutoClient(sandbox.url, sandbox.token), registry, told)
    assert new == ["sweeping", "paired", "broken"]
    assert states(registry) == {
        "sweeping": ("active", None),
        "paired": ("active", None),
        "broken": ("needs_reauth", None),
    }
    assert registry.get("paired").first_day == MONDAY


class TestCapabilities:
    """Accounts of no known category or name: what they are is asked once for each integration."""

    def sync(self, registry, tmp_path, capabilities: ScriptedResponse) -> list[str]:
        accounts = [
            {"id": one, "integration": {"name": "PeopleHub", "category": "hris"}} for one in ("one", "two")
        ]
        asked = []

        def answer(request: ReceivedRequest) -> ScriptedResponse:
            asked.append(request.path)
            return page(*accounts) if request.path == "/integrated-account" else capabilities

        settings = Settings(data_dir=tmp_path, frozen_now="2026-03-03T12:00:00Z")
        with serve(answer) as server:
            new = sync_with_truto(lambda: TrutoClient(server.url, TOKEN), registry, settings)
        assert len(asked) == 2
        return new

    def told(self, model: str) -> ScriptedResponse:
        return ScriptedResponse(json.dumps({"unified": [{"model": model, "resource": "users"}]}).encode())

    def test_with_the_unified_lms_model_come_in(self, registry, tmp_path):
        assert self.sync(registry, tmp_path, self.told("lms")) == ["one", "two"]

    def test_without_it_stay_out(self, registry, tmp_path):
        assert self.sync(registry, tmp_path, self.told("hris")) == []

    def test_that_can_not_be_had_keep_a_new_account_out_and_a_known_one_in(self, registry, tmp_path, caplog):
        assert self.sync(registry, tmp_path, refusal(403)) == []
        assert "The capabilities of peoplehub can't be had: Truto refused" in caplog.text
        self.sync(registry, tmp_path, self.told("lms"))
        assert self.sync(registry, tmp_path, refusal(403)) == []
        assert states(registry) == {"one": ("active", None), "two": ("active", None)}


def test_an_account_whose_id_can_not_be_a_path_is_left_out_and_told(registry, caplog):
    assert sync(registry, listed("a"), listed("../x")) == ["a"]
    assert "An account that Truto lists is left out: '../x' can't be an account id" in caplog.text
