"""Which requests a scripted fault strikes, and how faults are scripted."""

from pathlib import Path

import httpx
import pytest

from lms_pipeline.sandbox.errors import SandboxError
from lms_pipeline.sandbox.faults.refusing import Status
from lms_pipeline.sandbox.scripting import SandboxScript, read_script
from lms_pipeline.sandbox.server import running
from lms_pipeline.sandbox.wire.switches import Switches, Tier
from lms_pipeline_tests.support.sandbox import PAIRED, SWEEPING, SmallWorld, client_of

USERS, COURSES = "/unified/lms/users", "/unified/lms/courses"
SWEPT, PAIR = {"integrated_account_id": SWEEPING}, {"integrated_account_id": PAIRED}


def statuses(client: httpx.Client, count: int, path: str = USERS) -> list[int]:
    return [client.get(path, params=SWEPT).status_code for _ in range(count)]


def test_by_count(sandbox, client):
    sandbox.fault(Status(status=503, after=2, times=3))
    assert statuses(client, 7) == [200, 200, 503, 503, 503, 200, 200]
    assert sandbox.faults()[0] | {"met": 7, "struck": 3} == sandbox.faults()[0]


def test_by_rate_the_same_for_the_same_seed():
    told = []
    for _ in range(2):
        with running(SmallWorld()) as sandbox, client_of(sandbox) as client:
            sandbox.fault(Status(status=500, rate=0.3))
            told.append(statuses(client, 200))
    assert told[0] == told[1]
    assert 30 < told[0].count(500) < 90


def test_by_account(sandbox, client):
    sandbox.fault(Status(status=500, account=PAIRED))
    assert client.get(USERS, params=SWEPT).status_code == 200
    assert client.get(USERS, params=PAIR).status_code == 500
    assert client.get(f"/integrated-account/{PAIRED}").status_code == 500


@pytest.mark.parametrize(
    ("route", "struck"),
    [
        (USERS, [500, 200, 200, 200]),
        (f"{USERS}/{{id}}", [200, 500, 500, 200]),
        (f"{USERS}/u1", [200, 500, 200, 200]),
        (COURSES, [200, 200, 200, 500]),
    ],
)
def test_by_route_or_by_one_path_below_it(sandbox, client, route, struck):
    sandbox.fault(Status(status=500, route=route))
    paths = (USERS, f"{USERS}/u1", f"{USERS}/u2", COURSES)
    assert [client.get(path, params=SWEPT).status_code for path in paths] == struck


def test_requests_without_the_token_meet_no_fault(sandbox, client):
    sandbox.fault(Status(status=503, times=1))
    assert client.get(USERS, params=SWEPT, headers={"Authorization": "no"}).status_code == 401
    assert statuses(client, 2) == [503, 200]


class TestOverHttp:
    def test_faults_are_added_told_replaced_and_cleared(self, client):
        client.post("/_sandbox/faults", json={"fault": "status", "status": 503, "times": 1})
        client.post("/_sandbox/faults", json=[{"fault": "slow", "seconds": 0}, {"fault": "html", "after": 9}])
        assert statuses(client, 2) == [503, 200]
        told = client.get("/_sandbox/faults").json()["faults"]
        assert [(one["fault"], one["met"], one["struck"]) for one in told] == [
            ("status", 2, 1),
            ("slow", 2, 2),
            ("html", 2, 0),
        ]
        client.put("/_sandbox/faults", json=[{"fault": "status", "status": 500}])
        assert statuses(client, 1) == [500]
        assert client.delete("/_sandbox/faults").json() == {"faults": []}
        assert statuses(client, 1) == [200]

    def test_the_journal_tells_which_faults_struck(self, sandbox, client):
        sandbox.fault(Status(status=503, times=1))
        statuses(client, 2)
        assert [entry.faults for entry in sandbox.requests()] == [["status"], []]

    @pytest.mark.parametrize(
        ("body", "says"),
        [
            ({"fault": "status"}, "missing required field `status`"),
            ({"fault": "gremlin"}, "gremlin"),
            ({"fault": "status", "status": 503, "tmes": 1}, "tmes"),
            ({"fault": "status", "status": 200}, "status"),
            ({"fault": "status", "status": 599}, "599"),
            ({"fault": "status", "status": 503, "rate": 2}, "rate"),
            ({"fault": "status", "status": 503, "times": 0}, "times"),
            ({"fault": "status", "status": 503, "account": "nobody"}, "There is no account nobody"),
            ({"fault": "status", "status": 503, "route": "/unified/lms/user"}, "There is no route"),
            ({"fault": "status", "status": 503, "retry_after": 10**12}, "retry_after"),
            ({"fault": "partial", "route": "/unified/lms/users/{id}"}, "strikes lists alone"),
            ({"fault": "drift", "route": "/integrated-account"}, "strikes lists alone"),
            ("x", "Expected"),
        ],
    )
    def test_what_could_never_strike_is_refused(self, sandbox, client, body, says):
        answer = client.post("/_sandbox/faults", json=body)
        assert answer.status_code == 400
        assert says in answer.json()["message"]
        assert sandbox.faults() == []

    def test_a_bad_list_replaces_nothing(self, sandbox, client):
        sandbox.fault(Status(status=503))
        bad = [{"fault": "html"}, {"fault": "html", "account": "nobody"}]
        assert client.put("/_sandbox/faults", json=bad).status_code == 400
        assert [one["fault"] for one in sandbox.faults()] == ["status"]


class TestFile:
    def test_has_switches_and_faults(self, tmp_path):
        path = tmp_path / "bad-day.toml"
        path.write_text(
            "[switches]\naccount_tier = { calls = 50 }\n\n"
            '[[faults]]\nfault = "status"\nstatus = 502\ntimes = 1\n\n'
            f'[[faults]]\nfault = "partial"\naccount = "{SWEEPING}"\n'
        )
        script = read_script(path)
        assert script.switches == Switches(account_tier=Tier(50))
        with running(SmallWorld(), script=script) as sandbox, client_of(sandbox) as client:
            assert statuses(client, 2) == [502, 200]
            assert client.get("/_sandbox/switches").json()["account_tier"] == {"calls": 50, "seconds": 10}

    @pytest.mark.parametrize("text", ['[[faults]]\nfault = "gremlin"', "[switch]\n", "not = toml = at all"])
    def test_that_can_not_be_used_is_one_sentence(self, tmp_path, text):
        path = tmp_path / "bad.toml"
        path.write_text(text)
        with pytest.raises(SandboxError, match=r"^The script \S+bad\.toml can't be used: [^\n]+\.$"):
            read_script(path)

    def test_that_is_not_there_is_one_sentence(self, tmp_path: Path):
        with pytest.raises(SandboxError, match=r"^The script \S+none\.toml can't be read: No such file"):
            read_script(tmp_path / "none.toml")

    def test_about_an_account_that_is_not_there_stops_the_start(self):
        script = SandboxScript(faults=(Status(status=500, account="nobody"),))
        with (
            pytest.raises(SandboxError, match="There is no account nobody"),
            running(SmallWorld(), script=script),
        ):
            pass
