"""The state in files, and where each of them is."""

from functools import partial

import pytest

from lms_pipeline.accounts.registry import Registry
from lms_pipeline.lake.lock import partition_lock
from lms_pipeline.lake.paths import DataDir
from lms_pipeline.storage.file_state import FileState
from lms_pipeline.storage.rate_limit import RateLimit
from lms_pipeline_tests.support.state_behaviour import ACME, FIRST, StateBehaviour


class TestFileState(StateBehaviour):
    @pytest.fixture
    def open_state(self, tmp_path):
        return partial(FileState, tmp_path / "state")


def test_each_thing_is_in_the_file_of_its_name(tmp_path):
    data = DataDir(tmp_path)
    state = data.storage.state
    with state.lock("alerts"), partition_lock(data, ACME):
        state.write_note("alerts.json", b"{}")
    state.open_limiter("hour-acme", RateLimit(1, 60, "the test")).close()
    Registry(data).add("acme", name=None, first_day=FIRST)
    assert sorted(path.relative_to(data.state).as_posix() for path in data.state.rglob("*") if path.is_file()) == [
        "accounts.json",
        "accounts.lock",
        "alerts.json",
        "alerts.lock",
        "budgets/hour-acme.sqlite",
        "pulls/account_id=acme/snapshot_date=2026-03-01/lock",
    ]


def test_accounts_are_stored_as_json_for_people(tmp_path):
    data = DataDir(tmp_path)
    Registry(data).add("acme", name="Acme", first_day=FIRST)
    assert data.registry.read_text() == (
        '[\n  {\n    "id": "acme",\n    "name": "Acme",\n    "status": "active",\n    "integration": "",\n'
        '    "strategy": "auto",\n    "why": "",\n    "carrying_stopped": null,\n    "first_day": "2026-03-01",\n'
        '    "last_day": null,\n    "origin": "hand"\n  }\n]'
    )
