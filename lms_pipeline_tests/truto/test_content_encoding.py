"""Compressed bodies: gzip in one or several members, deflate, and what is none of them."""

import gzip
import json
import zlib
from functools import partial
from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms_pipeline.truto import transport
from lms_pipeline.truto.content_encoding import decode_pieces
from lms_pipeline.truto.errors import PermanentError, TransientError, TrutoError
from lms_pipeline.truto.query import ListQuery
from lms_pipeline.truto.retry import RetryPolicy
from lms_pipeline_tests.support.scripted_api import ScriptedClient, ScriptedResponse

ALL = ListQuery("acme")
GOOD = json.dumps({"result": [{"id": f"user {number}"} for number in range(200)], "next_cursor": None}).encode()
TEXTS = [f'{{"id": "user {number}"}}' for number in range(200)]


compress_gzip = partial(gzip.compress, mtime=0)
"""Compress to the same bytes at any time: they are in the ids of tests, which all workers must collect alike."""


def compress_in_members(body: bytes, size: int) -> bytes:
    return b"".join(compress_gzip(body[start : start + size]) for start in range(0, len(body), size))


def deflate_raw(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


def read(body: bytes, encoding: str | None, status: int = 200) -> list[str]:
    headers = {} if encoding is None else {"Content-Encoding": encoding}
    once = RetryPolicy(max_attempts=1, max_attempts_unavailable=1)
    with ScriptedClient(ScriptedResponse(body, status, headers), retry_policy=once) as client:
        return [bytes(record).decode() for page in client.fetch_pages("users", ALL) for record in page.records]


def read_failure(body: bytes, encoding: str | None, status: int = 200) -> TrutoError:
    with pytest.raises(TrutoError) as caught:
        read(body, encoding, status)
    return caught.value


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (GOOD, None),
        (GOOD, ""),
        (GOOD, "identity"),
        (GOOD, "utf-8"),
        (compress_gzip(GOOD), "gzip"),
        (compress_gzip(GOOD), "GZIP"),
        (compress_gzip(GOOD), "x-gzip"),
        (compress_gzip(GOOD), "X-GZip"),
        (compress_gzip(GOOD), "gzip, identity"),
        (compress_gzip(GOOD), " identity , x-gzip"),
        (compress_in_members(GOOD, 700), "gzip"),
        (compress_in_members(GOOD, 700), "x-gzip"),
        (compress_in_members(GOOD, 1), "gzip"),
        (compress_in_members(GOOD, len(GOOD)) + compress_gzip(b""), "gzip"),
        (compress_gzip(b"") + compress_gzip(GOOD), "gzip"),
        (compress_gzip(GOOD) + b"\0" * 1_000, "gzip"),
        (compress_gzip(GOOD[:700]) + b"\0\0" + compress_gzip(GOOD[700:]), "gzip"),
        (compress_gzip(GOOD) + b"trailing garbage", "gzip"),
        (compress_gzip(GOOD) + b"\0\x1f", "gzip"),
        (zlib.compress(GOOD), "deflate"),
        (deflate_raw(GOOD), "deflate"),
    ],
)
def test_a_body_is_read_in_every_usual_encoding(body, encoding):
    assert read(body, encoding) == TEXTS


BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (BOM + GOOD, None),
        (BOM + BOM + GOOD, None),
        (compress_gzip(BOM + GOOD), "gzip"),
        (compress_in_members(BOM + GOOD, 1), "x-gzip"),
        (zlib.compress(BOM + GOOD), "deflate"),
    ],
)
def test_a_byte_order_mark_is_skipped(body, encoding):
    assert read(body, encoding) == TEXTS


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (compress_gzip(GOOD)[:-1], "gzip"),
        (compress_gzip(GOOD)[:-20], "gzip"),
        (compress_gzip(GOOD)[:5], "gzip"),
        (compress_gzip(GOOD) + compress_gzip(GOOD)[:-1], "gzip"),
        (compress_gzip(GOOD) + compress_gzip(GOOD)[:3], "gzip"),
        (compress_gzip(GOOD[:-9]) + b"\x1f\x8b\x07 no member", "gzip"),
        (compress_gzip(GOOD)[:-6] + b"\xff" + compress_gzip(GOOD)[-5:], "gzip"),
        (zlib.compress(GOOD)[:-1], "deflate"),
        (zlib.compress(GOOD)[:-20], "deflate"),
        (GOOD, "gzip"),
        (GOOD, "deflate"),
        (zlib.compress(GOOD), "gzip"),
        (compress_gzip(compress_gzip(GOOD)), "gzip, gzip"),
        (compress_gzip(zlib.compress(GOOD)), "deflate, gzip"),
    ],
)
def test_a_damaged_body_is_transient(body, encoding):
    error = read_failure(body, encoding)
    assert type(error) is TransientError
    assert str(error).startswith("The response can't be unpacked (")


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate"])
def test_an_empty_body_is_no_page_whatever_its_encoding(encoding):
    error = read_failure(b"", encoding)
    assert type(error) is TransientError
    assert str(error).startswith("The response is not JSON, or was cut short (")


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (compress_gzip(b" " * 8 * 2**20), "gzip"),
        (compress_gzip(b" " * 2**19) * 8, "x-gzip"),
        (zlib.compress(b" " * 8 * 2**20), "deflate"),
        (compress_gzip(b"") * 60_000, "gzip"),
    ],
    ids=["in one member", "in small members", "in deflate", "of members without a byte"],
)
def test_a_body_that_is_too_large_is_stopped_while_it_is_unpacked(body, encoding, monkeypatch):
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", 2**20)
    error = read_failure(body, encoding)
    assert type(error) is PermanentError
    assert "larger than 1 MB" in str(error)


def test_no_piece_of_a_bomb_is_large():
    sizes = [len(piece) for piece in decode_pieces([compress_gzip(b" " * 64 * 2**20)], "gzip")]
    assert sum(sizes) == 64 * 2**20
    assert max(sizes) <= 2**20


REFUSAL = json.dumps({"statusCode": 403, "error": "Forbidden", "message": "why"}).encode()


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(BOM + REFUSAL, None), (compress_in_members(REFUSAL, 10), "gzip"), (compress_gzip(BOM + REFUSAL), "x-gzip")],
)
def test_an_error_keeps_its_message_in_every_encoding(body, encoding):
    error = read_failure(body, encoding, 403)
    assert (error.status, error.server_message) == (403, "why")


@pytest.mark.parametrize(
    ("body", "encoding"), [(b"<html>", "gzip"), (compress_gzip(REFUSAL)[:-5], "gzip"), (b"x", "gzip, gzip")]
)
def test_an_error_that_can_not_be_unpacked_keeps_its_status(body, encoding):
    error = read_failure(body, encoding, 403)
    assert (type(error), error.status, error.server_message) == (PermanentError, 403, "")


@given(
    body=st.binary(max_size=300),
    cuts=st.lists(st.integers(0, 300), max_size=5),
    sizes=st.lists(st.integers(1, 40), min_size=1),
    padding=st.integers(0, 5),
)
def test_any_members_in_any_pieces_give_the_body(body, cuts, sizes, padding):
    """The reference is Python's own gzip module."""
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    packed = b"".join(compress_gzip(body[a:b]) for a, b in pairwise(edges)) + b"\0" * padding
    assert b"".join(decode_pieces(split(packed, sizes), "gzip")) == gzip.decompress(packed) == body


@given(
    body=st.binary(max_size=300),
    sizes=st.lists(st.integers(1, 40), min_size=1),
    pack=st.sampled_from([zlib.compress, deflate_raw]),
)
def test_deflate_in_any_pieces_gives_the_body(body, sizes, pack):
    assert b"".join(decode_pieces(split(pack(body), sizes), "deflate")) == body


@given(body=st.binary(min_size=1, max_size=300), data=st.data())
def test_a_cut_in_any_place_is_an_error_and_never_a_part(body, data):
    packed = compress_gzip(body)
    cut = data.draw(st.integers(1, len(packed) - 1))
    with pytest.raises(httpx.DecodingError):
        list(decode_pieces([packed[:cut]], "gzip"))


def split(packed: bytes, sizes: list[int]) -> list[bytes]:
    pieces: list[bytes] = []
    start = 0
    while start < len(packed):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(packed[start : start + size])
        start += size
    return pieces
