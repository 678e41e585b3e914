"""Which requests a scripted fault strikes, and how faults are scripted."""

from pathlib import Path

import httpx
import pytest

from lms_pipeline.sandbox import SandboxError, SandboxScript, Switches, Tier, read_script, running
from lms_pipeline.sandbox.faults import Status
from lms_pipeline_tests.support.sandbox import PAIRED, SWEEPING, SmallWorld, open_client

USERS, COURSES = "/unified/lms/users", "/unified/lms/courses"
SWEPT, PAIR = {"integrated_account_id": SWEEPING}, {"integrated_account_id": PAIRED}


def fetch_statuses(client: httpx.Client, count: int, path: str = USERS) -> list[int]:
    return [client.get(path, params=SWEPT).status_code for _ in range(count)]


class TestStrikes:
    def test_by_count(self, sandbox, client):
        sandbox.fault(Status(status=503, after=2, times=3))
        assert fetch_statuses(client, 7) == [200, 200, 503, 503, 503, 200, 200]
        assert sandbox.faults()[0] | {"met": 7, "struck": 3} == sandbox.faults()[0]

    def test_by_rate_the_same_requests_for_the_same_seed(self):
        statuses = []
        for _ in range(2):
            with running(SmallWorld()) as sandbox, open_client(sandbox) as client:
                sandbox.fault(Status(status=500, rate=0.3))
                statuses.append(fetch_statuses(client, 200))
        assert statuses[0] == statuses[1]
        assert 30 < statuses[0].count(500) < 90

    def test_by_account(self, sandbox, client):
        sandbox.fault(Status(status=500, account=PAIRED))
        assert client.get(USERS, params=SWEPT).status_code == 200
        assert client.get(USERS, params=PAIR).status_code == 500
        assert client.get(f"/integrated-account/{PAIRED}").status_code == 500

    @pytest.mark.parametrize(
        ("route", "statuses"),
        [
            (USERS, [500, 200, 200, 200]),
            (f"{USERS}/{{id}}", [200, 500, 500, 200]),
            (f"{USERS}/u1", [200, 500, 200, 200]),
            (COURSES, [200, 200, 200, 500]),
        ],
    )
    def test_by_route_or_by_one_path_below_it(self, sandbox, client, route, statuses):
        sandbox.fault(Status(status=500, route=route))
        paths = (USERS, f"{USERS}/u1", f"{USERS}/u2", COURSES)
        assert [client.get(path, params=SWEPT).status_code for path in paths] == statuses

    def test_by_response_format(self, sandbox, client):
        sandbox.fault(Status(status=500, format="raw"), Status(status=501, format="unified", after=1))
        formats = ("", "raw", "normalized", "unified")
        parameters = [SWEPT | {"truto_response_format": name} for name in formats]
        assert [client.get(USERS, params=one).status_code for one in parameters] == [200, 500, 200, 501]

    def test_no_request_without_the_token(self, sandbox, client):
        sandbox.fault(Status(status=503, times=1))
        assert client.get(USERS, params=SWEPT, headers={"Authorization": "no"}).status_code == 401
        assert fetch_statuses(client, 2) == [503, 200]


class TestOverHttp:
    def test_faults_are_added_listed_replaced_and_cleared(self, client):
        client.post("/_sandbox/faults", json={"fault": "status", "status": 503, "times": 1})
        client.post("/_sandbox/faults", json=[{"fault": "slow", "seconds": 0}, {"fault": "html", "after": 9}])
        assert fetch_statuses(client, 2) == [503, 200]
        faults = client.get("/_sandbox/faults").json()["faults"]
        assert [(fault["fault"], fault["met"], fault["struck"]) for fault in faults] == [
            ("status", 2, 1),
            ("slow", 2, 2),
            ("html", 2, 0),
        ]
        client.put("/_sandbox/faults", json=[{"fault": "status", "status": 500}])
        assert fetch_statuses(client, 1) == [500]
        assert client.delete("/_sandbox/faults").json() == {"faults": []}
        assert fetch_statuses(client, 1) == [200]

    def test_the_log_names_the_faults_that_struck(self, sandbox, client):
        sandbox.fault(Status(status=503, times=1))
        fetch_statuses(client, 2)
        assert [request.faults for request in sandbox.requests()] == [["status"], []]

    @pytest.mark.parametrize(
        ("body", "message"),
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
            ({"fault": "partial", "route": "/unified/lms/users/{id}"}, "strikes only lists"),
            ({"fault": "drift", "route": "/integrated-account"}, "strikes only lists"),
            ("x", "Expected"),
        ],
    )
    def test_a_fault_that_could_never_strike_is_refused(self, sandbox, client, body, message):
        response = client.post("/_sandbox/faults", json=body)
        assert response.status_code == 400
        assert message in response.json()["message"]
        assert sandbox.faults() == []

    def test_an_invalid_list_replaces_nothing(self, sandbox, client):
        sandbox.fault(Status(status=503))
        invalid = [{"fault": "html"}, {"fault": "html", "account": "nobody"}]
        assert client.put("/_sandbox/faults", json=invalid).status_code == 400
        assert [fault["fault"] for fault in sandbox.faults()] == ["status"]


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
        with running(SmallWorld(), script=script) as sandbox, open_client(sandbox) as client:
            assert fetch_statuses(client, 2) == [502, 200]
            assert client.get("/_sandbox/switches").json()["account_tier"] == {"calls": 50, "seconds": 10}

    @pytest.mark.parametrize("text", ['[[faults]]\nfault = "gremlin"', "[switch]\n", "not = toml = at all"])
    def test_with_invalid_content_is_one_sentence(self, tmp_path, text):
        path = tmp_path / "bad.toml"
        path.write_text(text)
        with pytest.raises(SandboxError, match=r"^The script \S+bad\.toml can't be used: [^\n]+\.$"):
            read_script(path)

    def test_that_is_missing_is_one_sentence(self, tmp_path: Path):
        with pytest.raises(SandboxError, match=r"^The script \S+none\.toml can't be read: No such file"):
            read_script(tmp_path / "none.toml")

    def test_that_names_an_unknown_account_stops_the_start(self):
        script = SandboxScript(faults=(Status(status=500, account="nobody"),))
        with pytest.raises(SandboxError, match="There is no account nobody"), running(SmallWorld(), script=script):
            pass
