"""What each scripted fault does to an answer, seen from the other side of the socket."""

import json
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
import pytest

from lms_pipeline.sandbox.faults.pages import (
    Drift,
    EmptyPage,
    Endless,
    Partial,
    RepeatedCursor,
    ShiftedPage,
)
from lms_pipeline.sandbox.faults.refusing import ExpiredCursor, RevokedConnection, RevokedToken, Status
from lms_pipeline.sandbox.faults.responses import Cut, GzipBomb, Reset, Slow
from lms_pipeline.sandbox.faults.spoiling import BadUtf8, Debug, Html
from lms_pipeline.sandbox.wire.debugging import SECRET
from lms_pipeline_tests.support.sandbox import PAIRED, SWEEPING, Json, sweep

USERS = "/unified/lms/users"
SWEPT = {"integrated_account_id": SWEEPING}
ALL = [f"u{number}" for number in range(12)]


def users(client: httpx.Client, **parameters: str | int) -> list[str]:
    return [user["id"] for user in sweep(client, USERS, **SWEPT, **parameters)]


def page(client: httpx.Client, cursor: str = "", limit: int = 5) -> Json:
    answer = client.get(USERS, params={**SWEPT, "limit": limit, "next_cursor": cursor})
    assert answer.status_code == 200, answer.text
    told: Json = answer.json()
    return told


def ids(page: Json) -> list[str]:
    return [user["id"] for user in page["result"]]


class TestStatus:
    @pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 409, 422, 425, 429, 500, 502, 503, 504])
    @pytest.mark.parametrize("remote", [False, True])
    def test_is_answered_as_truto_or_the_provider_would(self, sandbox, client, status, remote):
        sandbox.fault(Status(status=status, message="so it is", remote=remote))
        answer = client.get(USERS, params=SWEPT)
        told = answer.json()
        assert answer.status_code == told["statusCode"] == status
        assert told["message"] == "so it is"
        assert told.get("truto_is_remote_error", False) is remote
        assert ("raw_response" in told) is remote

    def test_tells_to_wait_for_seconds(self, sandbox, client):
        sandbox.fault(Status(status=429, retry_after=7, ratelimit_reset=9))
        headers = client.get(USERS, params=SWEPT).headers
        assert (headers["retry-after"], headers["ratelimit-reset"]) == ("7", "9")

    def test_tells_to_wait_until_a_date(self, sandbox, client):
        sandbox.fault(Status(status=503, retry_after=60, retry_after_as="date"))
        until = parsedate_to_datetime(client.get(USERS, params=SWEPT).headers["retry-after"])
        assert timedelta(seconds=50) < until - datetime.now(UTC) <= timedelta(seconds=60)

    def test_that_is_no_status_is_refused(self):
        with pytest.raises(ValueError, match="499"):
            Status(status=499)


class TestRevoked:
    def test_token_is_good_for_nothing_until_the_faults_are_cleared(self, sandbox, client):
        sandbox.fault(RevokedToken(route=USERS, after=1, times=1))
        statuses = [
            client.get(path, params=SWEPT).status_code for path in (USERS, USERS, "/integrated-account")
        ]
        assert statuses == [200, 401, 401]
        sandbox.clear_faults()
        assert client.get(USERS, params=SWEPT).status_code == 200

    def test_connection_is_the_account_s_until_the_faults_are_cleared(self, sandbox, client):
        sandbox.fault(RevokedConnection(account=SWEEPING, after=1, times=1))
        answers = [client.get(USERS, params=SWEPT) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 401, 401]
        assert all(answer.json()["truto_is_remote_error"] for answer in answers[1:])
        assert client.get(f"/integrated-account/{SWEEPING}").json()["status"] == "needs_reauth"
        assert client.get(USERS, params={"integrated_account_id": PAIRED}).status_code == 200
        sandbox.clear_faults()
        assert client.get(f"/integrated-account/{SWEEPING}").json()["status"] == "active"


class TestPaging:
    def test_an_expired_cursor_is_refused_and_the_first_page_is_not(self, sandbox, client):
        sandbox.fault(ExpiredCursor())
        cursor = page(client)["next_cursor"]
        answer = client.get(USERS, params=SWEPT | {"next_cursor": cursor})
        assert (answer.status_code, answer.json()["message"]) == (400, "next_cursor has expired")

    def test_a_repeated_cursor_leads_where_it_came_from(self, sandbox, client):
        sandbox.fault(RepeatedCursor())
        cursor = page(client)["next_cursor"]
        assert page(client, cursor)["next_cursor"] == cursor

    def test_an_empty_page_leads_on_and_nothing_is_lost(self, sandbox, client):
        sandbox.fault(EmptyPage(after=1, times=2))
        sizes, cursor, seen = [], "", []
        while cursor is not None:
            one = page(client, cursor)
            sizes.append(len(one["result"]))
            seen += ids(one)
            cursor = one["next_cursor"]
        assert sizes == [5, 0, 0, 5, 2]
        assert seen == ALL

    def test_records_that_appear_before_a_page_bring_the_last_ones_again(self, sandbox, client):
        sandbox.fault(ShiftedPage(by=2, times=1))
        assert users(client, limit=5) == [*ALL[:5], *ALL[3:]]

    def test_records_that_vanish_before_a_page_leave_a_gap(self, sandbox, client):
        sandbox.fault(ShiftedPage(by=-2, times=1))
        assert users(client, limit=5) == [*ALL[:5], *ALL[7:]]

    @pytest.mark.parametrize(("empty", "later"), [(False, ALL), (True, [])])
    def test_an_endless_list_has_a_new_cursor_each_time(self, sandbox, client, empty, later):
        sandbox.fault(Endless(empty=empty))
        cursors, cursor, seen = set(), "", []
        for _ in range(4):
            one = page(client, cursor, limit=12)
            cursors.add(cursor := one["next_cursor"])
            seen.append(ids(one))
        assert len(cursors) == 4
        assert seen == [ALL, later, later, later]

    def test_a_partial_page_says_so(self, sandbox, client):
        sandbox.fault(Partial(share=0.5, times=1))
        first = page(client, limit=12)
        assert (ids(first), first["is_partial_response"]) == (ALL[:6], True)
        assert "is_partial_response" not in page(client, limit=12)


def test_drift_changes_types_and_no_value(tmp_path):
    from lms_pipeline.sandbox.faults.drift import drifted
    from lms_pipeline.sandbox.world import Record

    unified = {
        "id": "17",
        "score": 81.5,
        "n": 3,
        "user": {"id": "007", "emails": [{"is_primary": True}]},
        "long": "1234567890123456",
        "none": None,
        "name": "Ann",
        "arabic": "٣",
    }
    record = drifted(Record(json.dumps(unified).encode(), b'{ "n": 1 }'))
    assert json.loads(record.unified) == {
        "id": 17,
        "score": "81.5",
        "n": "3",
        "user": {"id": "007", "emails": [{"is_primary": "true"}]},
        "long": "1234567890123456",
        "none": None,
        "name": "Ann",
        "arabic": "٣",
    }
    assert record.remote == b'{ "n": 1 }'


def test_a_fault_of_lists_counts_no_other_request(sandbox, client):
    sandbox.fault(Drift(times=1))
    client.get("/integrated-account")
    assert [(told["met"], told["struck"]) for told in sandbox.faults()] == [(0, 0)]


def test_drift_reaches_the_pages(sandbox, client):
    sandbox.fault(Drift())
    assert users(client) == ALL


class TestSpoiled:
    def test_a_page_for_people_comes_under_200(self, sandbox, client):
        sandbox.fault(Html())
        answer = client.get(USERS, params=SWEPT)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert answer.text.startswith("<!DOCTYPE html>")

    def test_a_byte_that_is_no_utf8_stands_in_a_string(self, sandbox, client):
        sandbox.fault(BadUtf8())
        content = client.get(USERS, params=SWEPT).content
        with pytest.raises(UnicodeDecodeError):
            content.decode()
        assert json.loads(content.decode(errors="ignore"))["result"][0]["id"] == "u0"

    def test_secrets_stand_in_the_envelope_in_records_and_in_errors(self, sandbox, client):
        sandbox.fault(Debug())
        told = client.get(USERS, params=SWEPT).json()
        error = client.get(f"{USERS}/nobody", params=SWEPT).json()
        for one in (told, told["result"][0], error):
            assert SECRET in json.dumps(one["debug"])
            assert SECRET in json.dumps(one["context"])


class TestConnection:
    def test_cut_short_of_the_length_that_was_told(self, sandbox, client, capfd):
        sandbox.fault(Cut(share=0.5, length="whole", times=1))
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            client.get(USERS, params=SWEPT)
        assert users(client) == ALL
        assert capfd.readouterr().err == ""

    def test_cut_short_without_a_last_chunk(self, sandbox, client):
        sandbox.fault(Cut(length="chunked", times=1))
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
            client.get(USERS, params=SWEPT)

    def test_cut_short_under_a_length_that_fits(self, sandbox, client):
        sandbox.fault(Cut(share=0.25, length="cut"))
        answer = client.get(USERS, params=SWEPT)
        assert answer.status_code == 200
        with pytest.raises(json.JSONDecodeError):
            answer.json()

    @pytest.mark.parametrize("share", [None, 0.0, 0.5])
    def test_reset(self, sandbox, client, share, capfd):
        sandbox.fault(Reset(share=share, times=1))
        with pytest.raises(httpx.ReadError):
            client.get(USERS, params=SWEPT)
        assert users(client) == ALL
        assert capfd.readouterr().err == ""

    def test_a_small_gzip_unpacks_to_many_megabytes(self, sandbox, client):
        sandbox.fault(GzipBomb(megabytes=20))
        with client.stream("GET", USERS, params=SWEPT) as answer:
            packed = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == "gzip"
        assert len(packed) < 40_000
        assert len(zlib.decompress(packed, wbits=31)) > 20 * 2**20

    def test_late(self, sandbox, client):
        sandbox.fault(Slow(seconds=30))
        with pytest.raises(httpx.ReadTimeout):
            client.get(USERS, params=SWEPT, timeout=0.1)

    def test_dripping(self, sandbox, client):
        size = len(client.get(USERS, params=SWEPT).content)
        sandbox.fault(Slow(bytes_per_second=size * 5))
        with client.stream("GET", USERS, params=SWEPT) as answer:
            sizes = list(map(len, answer.iter_raw()))
        assert sum(sizes) == size
        assert max(sizes) < size


def test_two_faults_strike_the_same_request(sandbox, client):
    sandbox.fault(Partial(), Html(times=1, after=1))
    assert page(client)["is_partial_response"] is True
    assert client.get(USERS, params=SWEPT).text.startswith("<!DOCTYPE")
