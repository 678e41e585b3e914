"""The search for credentials takes no more time and memory than a body's size allows, whatever a server sends."""

import json
import time
import tracemalloc
from datetime import UTC, datetime

import pytest

from lms_pipeline.truto import raw_json, response, secret_keys
from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.credentials import bounds
from lms_pipeline.truto.credentials.bounds import TooManyCredentialsError
from lms_pipeline.truto.credentials.spans import find_string
from lms_pipeline.truto.errors import PermanentError
from lms_pipeline.truto.query import ListQuery
from lms_pipeline.truto.raw_json import check_item_count
from lms_pipeline.truto.response import BadBodyError
from lms_pipeline.truto.secret_keys import remove_secrets
from lms_pipeline.truto.store import NotKeptError, StoredResponse
from lms_pipeline_tests.support.scripted_api import ScriptedClient, ScriptedResponse

SMALL_BYTES, FACTOR = 32_000, 8
MAX_RATIO = 28
"""Of the times of a body and one of eight times its size: a linear search takes 8 times as long, a quadratic one 64."""


def repeat(unit: bytes, size: int) -> bytes:
    return unit * (size // len(unit))


def nest(opening: bytes, closing: bytes, size: int) -> bytes:
    depth = size // len(opening + closing)
    return opening * depth + b"1" + closing * depth


def escape_repeatedly(size: int) -> bytes:
    text = '"?token=x"'
    while len(text) < size:
        text = '"' + text.replace("\\", r"\u005c").replace('"', r"\u0022") + '"'
    return text.encode()


BODIES = {
    "an unclosed string of keys": lambda n: b'{"result":["' + repeat(rb"\"password\":\"x\",", n),
    "a closed string of keys": lambda n: b'{"result":["' + repeat(rb"\"password\":\"x\",", n) + b'"]}',
    "parameters without a quote": lambda n: repeat(b"password=x ", n),
    "parameters after escaped quotes": lambda n: repeat(b'password=x\\" ', n),
    "parameters in an unclosed string": lambda n: b'"' + repeat(b"password=x ", n),
    "keys that begin with an escaped quote": lambda n: b'{"a":"' + repeat(b'\\"password":"x",', n),
    "keys": lambda n: b"[" + repeat(b'{"pin":"x"},', n) + b"1]",
    "unclosed keys": lambda n: b"{" + repeat(b'"password":"x', n),
    "unclosed lists under keys": lambda n: b"{" + repeat(b'"password":[', n),
    "nested keys": lambda n: nest(b'{"pin":', b"}", n),
    "nested long keys": lambda n: nest(b'{"' + b"x" * 110 + b'\\"password":', b"}", n),
    "links": lambda n: b"[" + repeat(b'"/?pin=x",', n) + b"1]",
    "links in one string": lambda n: b'["' + repeat(b"http://a/?token=abc ", n) + b'"]',
    "colons before a host": lambda n: b'["http://' + repeat(b"a:", n) + b'@x?token=abc"]',
    "users of a host": lambda n: b'["http://' + repeat(b"a:b@", n) + b'x?token=abc"]',
    "a long parameter": lambda n: b'["http://x/?' + b"a" * n + b'token=abc"]',
    "many parameters": lambda n: b'["http://x/?' + repeat(b"token=abc&", n) + b'"]',
    "named values": lambda n: b"[" + repeat(b'{"name":"pin","value":"x"},', n) + b"1]",
    "values of one name": lambda n: b'{"name":"pin",' + repeat(b'"value":"abc",', n) + b'"a":1}',
    "spaces in a text": lambda n: b'{"password":"' + b" " * n + b'x"}',
    "spaces after a number": lambda n: b'{"pass":"5' + b" " * n + b'x"}',
    "spaces in a list": lambda n: b'{"password":[' + b" " * n + b"1]}",
    "backslashes": lambda n: b'{"a":"' + b"\\" * (n // 2 * 2) + b'?password=x"}',
    "quotes": lambda n: b'["' + repeat(b'\\"', n) + b'?password=x"]',
    "escaped letters": lambda n: b'["' + repeat(rb"\u0061", n) + b'?token=x"]',
    "twice escaped letters": lambda n: b'["' + repeat(rb"\\u0061", n) + b'?token=x"]',
    "JSON in strings": escape_repeatedly,
}


def measure(body: bytes) -> float:
    start = time.process_time()
    remove_secrets(body)
    return time.process_time() - start


@pytest.mark.parametrize("build", BODIES.values(), ids=BODIES)
def test_the_time_grows_with_the_size(build):
    small = min(measure(build(SMALL_BYTES)) for _ in range(3))
    large = measure(build(FACTOR * SMALL_BYTES))
    assert large < MAX_RATIO * small + 0.05


def test_the_time_of_nested_named_values_grows_with_the_size(monkeypatch):
    monkeypatch.setattr(bounds, "MAX_DEPTH", 1_000_000)
    small, large = (nest(b'{"name":"pin","value":', b"}", size) for size in (4 * SMALL_BYTES, 32 * SMALL_BYTES))
    assert min(measure(large) for _ in range(2)) < MAX_RATIO * min(measure(small) for _ in range(3))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'"a" "', (0, 3)),
        (rb'"a\"b" "', (0, 6)),
        (b'"', None),
        (b'"a', None),
        (b'"a\\"', None),
        (b'"a\\', None),
        (b"a", None),
        (b"", None),
    ],
)
def test_a_string_is_found_if_it_is_closed(body, expected):
    assert find_string(body, 0) == expected


@pytest.mark.parametrize("end", ["", "\\", '\\"'])
def test_an_unclosed_string_hides_the_rest_of_the_body_from_the_count_of_records(end, monkeypatch):
    monkeypatch.setattr(raw_json, "MAX_PAGE_ITEMS", 10)
    check_item_count(('["a","' + r"\"," * 100 + end).encode())


MANY = {
    "keys": b'{"pin":"x"},',
    "links": b'"/?pin=x",',
    "strings of JSON": rb'"{\"pin\":\"x\"}",',
    "escaped letters in strings": rb'"\\u0061",',
    "named values": b'{"name":"pin","value":"x"},',
}


@pytest.mark.parametrize("unit", MANY.values(), ids=MANY)
def test_places_of_credentials_are_bounded(unit, monkeypatch):
    monkeypatch.setattr(bounds, "MAX_CANDIDATES", 100)
    remove_secrets(b"[" + unit * 50 + b"1]")
    with pytest.raises(TooManyCredentialsError):
        remove_secrets(b"[" + unit * 101 + b"1]")


def test_the_values_of_one_object_are_bounded(monkeypatch):
    monkeypatch.setattr(bounds, "MAX_CANDIDATES", 100)
    remove_secrets(b'{"name":"pin",' + b'"value":"x",' * 100 + b'"a":1}')
    with pytest.raises(TooManyCredentialsError):
        remove_secrets(b'{"name":"pin",' + b'"value":"x",' * 101 + b'"a":1}')


@pytest.mark.parametrize("unit", MANY.values(), ids=MANY)
def test_the_memory_of_too_many_places_is_bounded(unit, monkeypatch):
    monkeypatch.setattr(bounds, "MAX_CANDIDATES", 1_000)
    remove_secrets(b'[{"pin":"x","name":"pin","value":"y"}]')  # builds the tables
    body = b"[" + repeat(unit, 2**20) + b"1]"
    tracemalloc.start()
    try:
        with pytest.raises(TooManyCredentialsError):
            remove_secrets(body)
        assert tracemalloc.get_traced_memory()[1] < 8 * len(body)
    finally:
        tracemalloc.stop()


def test_too_many_places_are_one_sentence_and_permanent(monkeypatch):
    monkeypatch.setattr(bounds, "MAX_CANDIDATES", 10)
    body = json.dumps({"result": [{"id": "a", "pin": "x"}] * 11}).encode()
    with ScriptedClient(ScriptedResponse(body)) as client, pytest.raises(PermanentError) as caught:
        list(client.fetch_pages("users", ListQuery("acme")))
    assert str(caught.value) == (
        "The response has more than 500,000 places where a credential may be "
        "(GET /unified/lms/users of account acme): lower the page size."
    )


class OlderStore:
    """Holds one response with many credentials, as an earlier version stored it."""

    def get(self, key):
        body = json.dumps({"result": [{"id": "a", "pin": "x"}] * 11}).encode()
        return StoredResponse(200, datetime(2026, 3, 1, tzinfo=UTC), body)

    def put(self, key, response):
        raise AssertionError(key)


def test_a_stored_response_with_too_many_places_is_none(monkeypatch):
    monkeypatch.setattr(bounds, "MAX_CANDIDATES", 10)
    with TrutoClient.for_replay(OlderStore()) as client, pytest.raises(NotKeptError):
        list(client.fetch_pages("users", ListQuery("acme")))


def test_a_body_that_names_a_credential_is_nested_only_so_deeply(monkeypatch):
    monkeypatch.setattr(bounds, "MAX_DEPTH", 10)
    named = b'{"name":"pin","value":"x","a":%b}'
    assert b'"x"' not in remove_secrets(named % nest(b"[", b"]", 2 * 9))
    with pytest.raises(BadBodyError, match=r"^is nested too deeply$"):
        remove_secrets(named % nest(b"[", b"]", 2 * 10))


def test_a_string_whose_json_is_nested_too_deeply_is_removed_whole(monkeypatch):
    monkeypatch.setattr(bounds, "MAX_DEPTH", 10)
    text = '{"name":"pin","value":"x","a":%s}' % ("[" * 10 + "]" * 10)
    assert remove_secrets(json.dumps([1, text]).encode()) == b'[1, "[removed]"]'


@pytest.mark.parametrize(("depth", "expected"), [(16, '{"pin": "[removed]", "a": 1}'), (17, '"[removed]"')])
def test_a_string_inside_of_too_many_is_removed_whole(depth, expected):
    def wrap(text: str) -> str:
        return '"' + text.replace("\\", r"\u005c").replace('"', r"\u0022") + '"'

    text = '{"pin": "x", "a": 1}'
    for _ in range(depth):
        text = wrap(text)
    value = remove_secrets(text.encode()).decode()
    for _ in range(16):
        value = json.loads(value)
    assert value == expected


@pytest.mark.parametrize(("size", "expected"), [(100, '"' + "a" * 90 + '?pin=[removed]"'), (101, '"[removed]"')])
def test_a_string_that_is_too_large_is_removed_whole_if_it_may_hold_a_credential(size, expected, monkeypatch):
    monkeypatch.setattr(secret_keys, "MAX_STRING_BYTES", 100)
    body = b'"' + b"a" * 90 + b"?pin=" + b"x" * (size - 97) + b'"'
    assert remove_secrets(body).decode() == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"id":"a","debug":{"x":"S"},"y":{"debug":1}}', '{"id":"a","debug":"[removed]","y":{"debug":1}}'),
        ('{"context" : ["S"], "debug":5, "z":"debug"}', '{"context" : "[removed]", "debug":5, "z":"debug"}'),
        (r'{"d\u0065bug":"S","z":["context","S"]}', r'{"d\u0065bug":"[removed]","z":["context","S"]}'),
        ('{"id":"debug","z":{}}', '{"id":"debug","z":{}}'),
    ],
)
def test_a_record_that_is_too_large_to_be_decoded_loses_the_values_of_debug_and_context(before, after, monkeypatch):
    monkeypatch.setattr(response, "MAX_RECORD_BYTES", 10)
    body = f'{{"result":[{before}],"debug":1}}'
    assert remove_secrets(body.encode()).decode() == f'{{"result":[{after}]}}'
