"""The registry: which accounts it adds, updates and marks as gone, and that concurrent writes lose nothing."""

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
    return Registry(DataDir(tmp_path))


def listed(account_id, status="active", *, integration="TalentLMS", category=None, tenant=None):
    """Return an account as Truto lists it."""
    return IntegratedAccount(account_id, tenant, status, integration=Integration(name=integration, category=category))


def sync(registry, *accounts, today=MONDAY, allow_drop=False):
    return registry.sync(accounts, integrations=("talentlms",), day=today, allow_drop=allow_drop)


def states(registry):
    """Return status and last day by id."""
    return {account.id: (account.status, account.last_day) for account in registry.read_accounts()}


def test_a_new_registry_is_empty(registry):
    assert (registry.read_accounts(), registry.read_active()) == ([], [])


def test_a_new_lms_is_added_with_the_day_it_is_first_listed(registry):
    assert sync(registry, listed("a", tenant="Acme")) == ["a"]
    assert registry.read_accounts() == [
        RegisteredAccount(id="a", name="Acme", integration="talentlms", first_day=MONDAY)
    ]


def test_an_account_without_a_tenant_is_named_by_its_id(registry):
    sync(registry, listed("a"))
    assert registry.get("a").name == "a"


def test_a_known_account_is_not_new_and_keeps_its_first_day(registry):
    sync(registry, listed("a"))
    assert sync(registry, listed("a"), listed("b"), today=TUESDAY) == ["b"]
    assert [account.first_day for account in registry.read_accounts()] == [MONDAY, TUESDAY]


@pytest.mark.parametrize(
    ("integration", "category", "is_added"),
    [
        ("docebo", "lms", True),
        ("docebo", "LMS", True),
        ("docebo", " Lms ", True),
        ("docebo", "", False),
        ("talentlms", None, True),
        ("TalentLMS", "hris", True),
        ("docebo", None, False),
        ("salesforce", "crm", False),
        ("", None, False),
    ],
)
def test_an_lms_is_recognized_by_its_category_or_integration(registry, integration, category, is_added):
    new = sync(registry, listed("a", integration=integration, category=category))
    assert new == (["a"] if is_added else [])


@pytest.mark.parametrize("status", ["needs_reauth", "connecting", "post_install_error", "validation_error"])
def test_an_account_that_can_not_be_pulled_is_registered_and_not_active(registry, status):
    sync(registry, listed("a", status))
    assert (states(registry), registry.read_active()) == ({"a": (status, None)}, [])


def test_an_account_that_was_reconnected_is_active_again(registry):
    sync(registry, listed("a", "needs_reauth"))
    sync(registry, listed("a"), today=TUESDAY)
    assert states(registry) == {"a": ("active", None)}


@pytest.mark.parametrize("status", ["inactive", "Gone "])
def test_a_status_of_truto_is_not_taken_for_ours(registry, status):
    """What a person removed stays inactive, and what Truto calls so is active again when Truto says so."""
    sync(registry, listed("a", status))
    assert states(registry) == {"a": (f"truto_{status.strip().lower()}", None)}
    sync(registry, listed("a"), today=TUESDAY)
    assert states(registry) == {"a": ("active", None)}


def test_an_active_account_is_active_in_any_case(registry):
    sync(registry, listed("a", " Active"))
    assert states(registry) == {"a": ("active", None)}


def test_an_account_that_is_no_longer_listed_is_gone_from_that_day(registry):
    sync(registry, listed("a"), listed("b"))
    sync(registry, listed("b"), today=TUESDAY)
    sync(registry, listed("b"), today=WEDNESDAY)
    assert states(registry) == {"a": ("gone", TUESDAY), "b": ("active", None)}


def test_a_gone_account_that_was_added_by_hand_stays_active(registry):
    sync(registry, listed("a"), listed("b"))
    sync(registry, listed("b"), today=TUESDAY)
    registry.add("a", name=None, first_day=TUESDAY)
    sync(registry, listed("b"), today=WEDNESDAY)
    assert states(registry)["a"] == ("active", None)


def test_an_account_that_is_listed_again_is_active(registry):
    sync(registry, listed("a"))
    sync(registry, today=TUESDAY, allow_drop=True)
    assert sync(registry, listed("a"), today=WEDNESDAY) == []
    assert states(registry) == {"a": ("active", None)}


def test_a_removed_account_stays_inactive(registry):
    sync(registry, listed("a"))
    registry.remove("a", last_day=TUESDAY)
    sync(registry, listed("a"), today=WEDNESDAY)
    assert (states(registry), registry.read_active()) == ({"a": ("inactive", TUESDAY)}, [])


def test_a_removed_account_that_is_no_longer_listed_stays_inactive(registry):
    sync(registry, listed("a"))
    registry.remove("a", last_day=TUESDAY)
    sync(registry, today=WEDNESDAY, allow_drop=True)
    assert states(registry) == {"a": ("inactive", TUESDAY)}


def test_removing_again_keeps_the_last_day(registry):
    sync(registry, listed("a"))
    registry.remove("a", last_day=TUESDAY)
    registry.remove("a", last_day=WEDNESDAY)
    assert states(registry) == {"a": ("inactive", TUESDAY)}


def test_an_account_added_by_hand_stays_active_when_truto_does_not_list_it(registry):
    registry.add("mine", name="Mine", first_day=MONDAY)
    sync(registry, listed("a"), today=TUESDAY)
    assert [account.id for account in registry.read_active()] == ["mine", "a"]


def test_an_account_added_without_a_name_is_named_by_its_id(registry):
    assert registry.add("mine", name=None, first_day=MONDAY).name == "mine"


def test_adding_a_removed_account_makes_it_active_and_keeps_its_first_day(registry):
    registry.add("mine", name="Mine", first_day=MONDAY)
    registry.remove("mine", last_day=TUESDAY)
    back = registry.add("mine", name=None, first_day=WEDNESDAY)
    assert (back.status, back.name, back.first_day, back.last_day) == ("active", "Mine", MONDAY, None)


@pytest.mark.parametrize("call", [lambda known: known.get("x"), lambda known: known.remove("x", last_day=MONDAY)])
def test_an_unknown_account_is_wrong_use_with_a_remedy(registry, call):
    with pytest.raises(
        UnknownAccountError, match=r"`lms-pipeline accounts list` .*`lms-pipeline accounts sync`"
    ) as refused:
        call(registry)
    assert isinstance(refused.value, WrongUseError)


@pytest.mark.parametrize("account_id", BAD_IDS)
@pytest.mark.parametrize(
    "call",
    [
        lambda known, bad: known.get(bad),
        lambda known, bad: known.add(bad, name=None, first_day=MONDAY),
        lambda known, bad: known.remove(bad, last_day=MONDAY),
    ],
    ids=["get", "add", "remove"],
)
def test_an_id_that_can_not_be_a_path_is_refused(registry, call, account_id):
    with pytest.raises(BadIdError, match="can't be an account id"):
        call(registry, account_id)


@pytest.mark.parametrize("account_id", BAD_IDS)
def test_an_account_that_truto_lists_under_such_an_id_is_skipped(registry, account_id):
    assert sync(registry, listed(account_id), listed("good")) == ["good"]


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'[{"id":"a"}]', b"\xff\xfe[]", b'[{"id":1}]'])
def test_a_damaged_file_is_reported_in_one_sentence_and_not_changed(tmp_path, registry, content):
    path = DataDir(tmp_path).registry
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(LmsPipelineError, match=r"^The registry \S+accounts\.json is damaged: .*accounts sync`\.$"):
        registry.add("a", name=None, first_day=MONDAY)
    assert path.read_bytes() == content


def test_concurrent_threads_lose_no_write(tmp_path):
    ids = [f"account-{number}" for number in range(24)]

    def add(account_id):
        Registry(DataDir(tmp_path)).add(account_id, name=None, first_day=MONDAY)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, ids))
    assert sorted(states(Registry(DataDir(tmp_path)))) == sorted(ids)


def test_a_reader_sees_a_whole_file_during_writes(tmp_path):
    data = DataDir(tmp_path)

    def add(number):
        Registry(data).add(f"account-{number}", name="x" * 10_000, first_day=MONDAY)

    with ThreadPoolExecutor(1) as threads:
        written = [threads.submit(add, number) for number in range(40)]
        seen = [0]
        while not all(one.done() for one in written):
            seen.append(len(Registry(data).read_accounts()))
    assert seen == sorted(seen)


def test_concurrent_processes_lose_no_write(registry, tmp_path):
    script = (
        "import sys; from datetime import date; from pathlib import Path; from lms_pipeline.accounts.registry import Registry\n"
        "from lms_pipeline.lake.paths import DataDir\n"
        "for number in range(20):\n"
        "    Registry(DataDir(Path(sys.argv[1]))).add(f'{sys.argv[2]}{number}', name=None, first_day=date(2026, 3, 2))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path), name]) for name in ("left", "right")]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    assert len(registry.read_accounts()) == 40


def test_the_registry_follows_what_truto_lists(tmp_path, registry):
    with running(SmallWorld()) as sandbox:
        settings = Settings(data_dir=tmp_path, frozen_now="2026-03-03T12:00:00Z")
        new = sync_with_truto(lambda: TrutoClient(sandbox.url, sandbox.token), registry, settings)
    assert new == ["sweeping", "paired", "broken"]
    assert states(registry) == {
        "sweeping": ("active", None),
        "paired": ("active", None),
        "broken": ("needs_reauth", None),
    }
    assert registry.get("paired").first_day == MONDAY


class TestCapabilities:
    """Accounts without a known category or name: one request of capabilities for each integration."""

    def sync(self, registry, tmp_path, capabilities: ScriptedResponse) -> list[str]:
        accounts = [{"id": one, "integration": {"name": "PeopleHub", "category": "hris"}} for one in ("one", "two")]
        paths = []

        def answer(request: ReceivedRequest) -> ScriptedResponse:
            paths.append(request.path)
            return page(*accounts) if request.path == "/integrated-account" else capabilities

        settings = Settings(data_dir=tmp_path, frozen_now="2026-03-03T12:00:00Z")
        with serve(answer) as server:
            new = sync_with_truto(lambda: TrutoClient(server.url, TOKEN), registry, settings)
        assert len(paths) == 2
        return new

    def list_model(self, model: str) -> ScriptedResponse:
        return ScriptedResponse(json.dumps({"unified": [{"model": model, "resource": "users"}]}).encode())

    def test_with_the_unified_lms_model_add_the_account(self, registry, tmp_path):
        assert self.sync(registry, tmp_path, self.list_model("lms")) == ["one", "two"]

    def test_without_it_add_nothing(self, registry, tmp_path):
        assert self.sync(registry, tmp_path, self.list_model("hris")) == []

    def test_that_can_not_be_read_keep_known_accounts_and_add_no_new_ones(self, registry, tmp_path, caplog):
        assert self.sync(registry, tmp_path, refusal(403)) == []
        assert "Failed to read the capabilities of peoplehub: Truto refused" in caplog.text
        self.sync(registry, tmp_path, self.list_model("lms"))
        assert self.sync(registry, tmp_path, refusal(403)) == []
        assert states(registry) == {"one": ("active", None), "two": ("active", None)}


def test_an_account_whose_id_can_not_be_a_path_is_logged(registry, caplog):
    assert sync(registry, listed("a"), listed("../x")) == ["a"]
    assert "Skipped an account that Truto lists: '../x' can't be an account id" in caplog.text
