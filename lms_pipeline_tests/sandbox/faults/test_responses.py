"""Faults of a whole response, as a client sees them: refusals, corrupt bodies, broken connections."""

import gzip
import json
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
import pytest

from lms_pipeline.sandbox.faults import (
    BadUtf8,
    ByteOrderMark,
    Cut,
    Debug,
    FailedBody,
    Gzip,
    GzipBomb,
    Html,
    Reset,
    RevokedConnection,
    RevokedToken,
    Slow,
    Status,
)
from lms_pipeline.sandbox.http import DEBUG_SECRET
from lms_pipeline_tests.support.sandbox import PAIRED, SWEEPING, fetch_all

USERS = "/unified/lms/users"
SWEPT = {"integrated_account_id": SWEEPING}


def count_users(client: httpx.Client) -> int:
    return len(fetch_all(client, USERS, **SWEPT))


class TestStatus:
    @pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 409, 422, 425, 429, 500, 502, 503, 504])
    @pytest.mark.parametrize("remote", [False, True])
    def test_has_the_error_body_of_truto_or_of_the_provider(self, sandbox, client, status, remote):
        sandbox.fault(Status(status=status, message="so it is", remote=remote))
        response = client.get(USERS, params=SWEPT)
        body = response.json()
        assert response.status_code == body["statusCode"] == status
        assert body["message"] == "so it is"
        assert body.get("truto_is_remote_error", False) is remote
        assert ("raw_response" in body) is remote

    def test_sends_the_seconds_to_wait(self, sandbox, client):
        sandbox.fault(Status(status=429, retry_after=7, ratelimit_reset=9))
        headers = client.get(USERS, params=SWEPT).headers
        assert (headers["retry-after"], headers["ratelimit-reset"]) == ("7", "9")

    def test_sends_the_date_until_which_to_wait(self, sandbox, client):
        sandbox.fault(Status(status=503, retry_after=60, retry_after_as="date"))
        until = parsedate_to_datetime(client.get(USERS, params=SWEPT).headers["retry-after"])
        assert timedelta(seconds=50) < until - datetime.now(UTC) <= timedelta(seconds=60)

    def test_must_be_an_http_status(self):
        with pytest.raises(ValueError, match="499"):
            Status(status=499)


class TestRevoked:
    def test_token_is_invalid_until_the_faults_are_cleared(self, sandbox, client):
        sandbox.fault(RevokedToken(route=USERS, after=1, times=1))
        statuses = [client.get(path, params=SWEPT).status_code for path in (USERS, USERS, "/integrated-account")]
        assert statuses == [200, 401, 401]
        sandbox.clear_faults()
        assert client.get(USERS, params=SWEPT).status_code == 200

    def test_connection_is_broken_until_the_faults_are_cleared(self, sandbox, client):
        sandbox.fault(RevokedConnection(account=SWEEPING, after=1, times=1))
        responses = [client.get(USERS, params=SWEPT) for _ in range(3)]
        assert [response.status_code for response in responses] == [200, 401, 401]
        assert all(response.json()["truto_is_remote_error"] for response in responses[1:])
        assert client.get(f"/integrated-account/{SWEEPING}").json()["status"] == "needs_reauth"
        assert client.get(USERS, params={"integrated_account_id": PAIRED}).status_code == 200
        sandbox.clear_faults()
        assert client.get(f"/integrated-account/{SWEEPING}").json()["status"] == "active"


class TestBody:
    def test_an_html_page_comes_under_200(self, sandbox, client):
        sandbox.fault(Html())
        response = client.get(USERS, params=SWEPT)
        assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert response.text.startswith("<!DOCTYPE html>")

    @pytest.mark.parametrize("status", [502, 522, 599])
    def test_an_html_page_comes_under_the_status_of_a_proxy(self, sandbox, client, status):
        sandbox.fault(Html(status=status))
        response = client.get(USERS, params=SWEPT)
        assert (response.status_code, response.text[:15]) == (status, "<!DOCTYPE html>")

    @pytest.mark.parametrize(("records", "count"), [("none", None), ("empty", 0), ("all", 5)])
    def test_a_page_says_under_200_that_the_request_failed(self, sandbox, client, records, count):
        sandbox.fault(FailedBody(records=records))
        response = client.get(USERS, params={**SWEPT, "limit": 5})
        body = response.json()
        assert (response.status_code, body["statusCode"], body["error"]) == (200, 500, "Internal Server Error")
        assert (len(body["result"]) if "result" in body else None) == count
        assert bool(body.get("next_cursor")) is (records == "all")

    def test_a_record_says_under_200_what_the_script_wants(self, sandbox, client):
        sandbox.fault(FailedBody(fields={"success": False}))
        assert client.get(f"{USERS}/u1", params=SWEPT).json() == {"success": False}

    def test_an_error_keeps_its_own_status(self, sandbox, client):
        sandbox.fault(FailedBody())
        assert client.get(f"{USERS}/nobody", params=SWEPT).status_code == 404

    def test_a_byte_order_mark_is_before_the_body(self, sandbox, client):
        plain = client.get(USERS, params=SWEPT).content
        sandbox.fault(ByteOrderMark())
        assert client.get(USERS, params=SWEPT).content == b"\xef\xbb\xbf" + plain

    @pytest.mark.parametrize("member_bytes", [None, 1, 100])
    @pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
    def test_a_body_is_in_gzip(self, sandbox, client, member_bytes, encoding):
        plain = client.get(USERS, params=SWEPT).content
        sandbox.fault(Gzip(encoding=encoding, member_bytes=member_bytes, padding=3))
        with client.stream("GET", USERS, params=SWEPT) as response:
            packed = b"".join(response.iter_raw())
        assert response.headers["content-encoding"] == encoding
        assert gzip.decompress(packed) == plain
        assert packed.endswith(b"\0\0\0")
        assert packed.count(b"\x1f\x8b\x08") == -(-len(plain) // (member_bytes or len(plain)))

    def test_an_invalid_byte_is_inside_a_string(self, sandbox, client):
        sandbox.fault(BadUtf8())
        content = client.get(USERS, params=SWEPT).content
        with pytest.raises(UnicodeDecodeError):
            content.decode()
        assert json.loads(content.decode(errors="ignore"))["result"][0]["id"] == "u0"

    def test_credentials_are_in_the_envelope_in_records_and_in_errors(self, sandbox, client):
        sandbox.fault(Debug())
        page = client.get(USERS, params=SWEPT).json()
        error = client.get(f"{USERS}/nobody", params=SWEPT).json()
        for one in (page, page["result"][0], error):
            assert DEBUG_SECRET in json.dumps(one["debug"])
            assert DEBUG_SECRET in json.dumps(one["context"])


class TestConnection:
    def test_is_cut_short_of_the_announced_length(self, sandbox, client, capfd):
        sandbox.fault(Cut(share=0.5, length="whole", times=1))
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            client.get(USERS, params=SWEPT)
        assert count_users(client) == 12
        assert capfd.readouterr().err == ""

    def test_is_cut_without_a_last_chunk(self, sandbox, client):
        sandbox.fault(Cut(length="chunked", times=1))
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
            client.get(USERS, params=SWEPT)

    def test_is_cut_with_the_length_of_the_part(self, sandbox, client):
        sandbox.fault(Cut(share=0.25, length="cut"))
        response = client.get(USERS, params=SWEPT)
        assert response.status_code == 200
        with pytest.raises(json.JSONDecodeError):
            response.json()

    @pytest.mark.parametrize("share", [None, 0.0, 0.5])
    def test_is_reset(self, sandbox, client, share, capfd):
        sandbox.fault(Reset(share=share, times=1))
        with pytest.raises(httpx.ReadError):
            client.get(USERS, params=SWEPT)
        assert count_users(client) == 12
        assert capfd.readouterr().err == ""

    def test_sends_a_small_gzip_that_unpacks_to_many_megabytes(self, sandbox, client):
        sandbox.fault(GzipBomb(megabytes=20))
        with client.stream("GET", USERS, params=SWEPT) as response:
            packed = b"".join(response.iter_raw())
        assert response.headers["content-encoding"] == "gzip"
        assert len(packed) < 40_000
        assert len(zlib.decompress(packed, wbits=31)) > 20 * 2**20

    def test_sends_nothing_for_a_time(self, sandbox, client):
        sandbox.fault(Slow(seconds=30))
        with pytest.raises(httpx.ReadTimeout):
            client.get(USERS, params=SWEPT, timeout=0.1)

    def test_sends_the_body_in_small_chunks(self, sandbox, client):
        size = len(client.get(USERS, params=SWEPT).content)
        sandbox.fault(Slow(bytes_per_second=size * 5))
        with client.stream("GET", USERS, params=SWEPT) as response:
            sizes = list(map(len, response.iter_raw()))
        assert sum(sizes) == size
        assert max(sizes) < size
