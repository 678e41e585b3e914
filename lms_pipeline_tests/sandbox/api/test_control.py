"""The routes below `/_sandbox`: clock, switches, counts and the log of requests."""

from datetime import UTC, datetime, timedelta, timezone

import httpx
import pytest

from lms_pipeline.sandbox import running
from lms_pipeline_tests.support.sandbox import PAIRED, SWEEPING, SmallWorld, iterate_pages, open_client

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class TestClock:
    def test_is_set_over_http_and_returned_in_utc(self):
        with running(SmallWorld()) as sandbox, open_client(sandbox) as client:
            response = client.put("/_sandbox/clock", json={"now": "2026-03-01T13:00:00+01:00"})
            assert response.json() == {"now": "2026-03-01T12:00:00Z", "fixed": True}
            assert client.get("/_sandbox/clock").json() == response.json()

    def test_is_set_and_released_from_python(self):
        with running(SmallWorld()) as sandbox, open_client(sandbox) as client:
            sandbox.set_clock(NOON.astimezone(timezone(timedelta(hours=5))))
            assert client.get("/_sandbox/clock").json()["now"] == "2026-03-01T12:00:00Z"
            sandbox.set_clock(None)
            assert client.get("/_sandbox/clock").json()["fixed"] is False

    @pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'{"now": "yesterday"}', b'{"now": "\xff"}'])
    def test_stays_as_it_is_after_an_invalid_body(self, small, body):
        small.put("/_sandbox/clock", json={"now": NOON.isoformat()})
        response = small.put("/_sandbox/clock", content=body)
        assert response.status_code == 400
        assert response.json()["statusCode"] == 400
        assert small.get("/_sandbox/clock").json()["now"] == "2026-03-01T12:00:00Z"


class TestSwitches:
    @pytest.mark.parametrize(
        "body", [{"account_tier": {"calls": 0}}, {"account_teir": None}, {"not_enrolled": 500}, [1]]
    )
    def test_stay_as_they_are_after_an_invalid_body(self, small, body):
        previous = small.get("/_sandbox/switches").json()
        response = small.put("/_sandbox/switches", json=body)
        assert (response.status_code, response.json()["statusCode"]) == (400, 400)
        assert small.get("/_sandbox/switches").json() == previous

    def test_are_set_over_http(self):
        with running(SmallWorld()) as sandbox, open_client(sandbox) as client:
            body = {"token_tier": {"calls": 5}, "not_enrolled": 400}
            switches = client.put("/_sandbox/switches", json=body).json()
            assert switches["token_tier"] == {"calls": 5, "seconds": 10}
            pair = {"integrated_account_id": PAIRED, "user[id]": "u1", "course[id]": "none"}
            assert client.get("/unified/lms/course-enrollments", params=pair).status_code == 400


class TestRequests:
    def test_are_counted_by_account_and_route(self):
        with running(SmallWorld(count=12)) as sandbox, open_client(sandbox) as client:
            enrollments = "/unified/lms/course-enrollments"
            pages = iterate_pages(client, enrollments, integrated_account_id=SWEEPING, limit=5)
            assert len(list(pages)) == 3
            client.get("/unified/lms/users/u1", params={"integrated_account_id": SWEEPING})
            client.get("/integrated-account")
            client.get(f"/integrated-account/{SWEEPING}", headers={"Authorization": "wrong"})
            stats = httpx.get(f"{sandbox.url}/_sandbox/stats", trust_env=False).json()
            assert stats == sandbox.stats()
        assert stats == {
            "requests": {
                SWEEPING: {f"GET {enrollments}": 3, "GET /unified/lms/users/{id}": 1, "GET /integrated-account/{id}": 1}
            },
            "without_account": {"GET /integrated-account": 1},
            "total": 6,
            "limited": {},
        }

    def test_are_forgotten_when_the_counts_are_deleted(self, small):
        small.get("/integrated-account")
        assert small.delete("/_sandbox/stats").json()["total"] == 0
        assert small.get("/_sandbox/requests").json() == {"requests": []}

    def test_are_logged_with_path_decoded_query_and_status(self):
        with running(SmallWorld()) as sandbox, open_client(sandbox) as client:
            client.get("/integrated-account")
            client.get("/unified/lms/users/a%2Fb?user%5Bid%5D=%C3%A4+1&empty=")
            logged = client.get("/_sandbox/requests", params={"last": 1}).json()["requests"]
            assert len(sandbox.requests()) == 2
        assert logged == [
            {
                "method": "GET",
                "path": "/unified/lms/users/a/b",
                "query": [["user[id]", "ä 1"], ["empty", ""]],
                "status": 400,
                "faults": [],
            }
        ]

    def test_are_listed_only_for_a_number(self, small):
        assert small.get("/_sandbox/requests", params={"last": "all"}).status_code == 400
