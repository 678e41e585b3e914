"""Credentials inside of the LMS's own data are replaced, and nothing else of a body changes."""

import json
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lms_pipeline.truto.client import TrutoClient
from lms_pipeline.truto.credentials.names import is_credential_name, list_tails, list_value_tails
from lms_pipeline.truto.credentials.scan import MIN_NAME_LETTERS, SMALL_BYTES
from lms_pipeline.truto.errors import redact
from lms_pipeline.truto.query import ListQuery
from lms_pipeline.truto.secret_keys import remove_credentials, remove_envelope_secrets, remove_secrets
from lms_pipeline.truto.store import StoredResponse

CREDENTIALS = [
    *("login_key", "loginKey", "LoginKey", "login-key", "LOGIN_KEY", "Login key", "loginkey", "login.key", "api_key"),
    *("apikey", "APIKey", "X-Api-Key", "private_key", "secret_access_key", "AWS_ACCESS_KEY_ID", "enrolment_key"),
    *("password", "PASSWORD", "PassWord", "Password:", "password1", "password_2", "userPassword", "user__password"),
    *("password_hash", "password_confirm", "passwd", "pwd", "pass", "user_pass", "passcode"),
    *("secret", "client_secret", "clientSecret", "otp_secret", "secret_key", "security_answer", "Kennwort"),
    *(
        "token",
        "ToKeN",
        "access_token",
        "refreshToken",
        "id_token",
        "auth-token",
        "sso_token",
        "oauth2_token",
        "tokens",
    ),
    *("Authorization", "proxy-authorization", "bearer", "jwt", "cookie", "Set-Cookie", "JSESSIONID", "PHPSESSID"),
    *("session_id", "sessionId", "session___id", "sid", "otp", "totp", "pin", "recovery_codes", "two_factor_otp_code"),
    *("magic_link", "reset_password_link", "login_credentials"),
]
ORDINARY = [
    *("token_count", "tokens_earned", "token_type", "password_changed_at", "password_policy", "password_expires"),
    *(
        "password_reset_required",
        "passed",
        "pass_mark",
        "passing_score",
        "compass",
        "bypass",
        "class",
        "key_stage",
        "key",
    ),
    *("primary_key", "course_key", "public_key", "sort_key", "turkey", "keywords", "secretary", "author", "session"),
    *("code", "course_code", "postcode", "pincode", "spin", "user_id", "url", "login", "login_url", "auth", "hash"),
    *("credentials", "credential_id", "signature", "authorization_status", "desktop", "description", ""),
]


@pytest.mark.parametrize("name", CREDENTIALS)
def test_a_text_under_a_credentials_name_is_removed(name):
    body = json.dumps({"id": "u1", "deep": [[{name: "SECRET-1"}]]})
    assert remove_secrets(body.encode()).decode() == body.replace("SECRET-1", "[removed]")


@pytest.mark.parametrize("name", ORDINARY)
def test_a_text_under_another_name_stays(name):
    body = json.dumps({"id": "u1", "deep": [[{name: "SECRET-1"}]]}).encode()
    assert remove_secrets(body) is body


@pytest.mark.parametrize("value", ['""', "5", "0.10", "1e400", "true", "null", "{}", "[ ]", '"0"', '"false"', '"Yes"'])
def test_what_is_no_credential_stays_under_a_credentials_name(value):
    body = b'{"password": %b, "x": 1}' % value.encode()
    assert remove_secrets(body) is body


@pytest.mark.parametrize(
    ("name", "text"), [("pass", "80 %"), ("pass", "passed"), ("session_id", "4711"), ("tokens", "12"), ("sid", "9")]
)
def test_a_number_or_a_mark_stays_under_a_name_with_an_ordinary_meaning(name, text):
    body = json.dumps({name: text}).encode()
    assert remove_secrets(body) is body


@pytest.mark.parametrize("value", ['["a", "b"]', '{"value": "a", "}": [1, "]"]}', r'"a \" b \\"', '"\\ud800"', '"é"'])
def test_a_whole_value_is_removed(value):
    body = f'{{"n":1e400, "login_key" :\n{value} ,"n":12345678901234567890,"e":"\\ud800","z":-0.0}}'
    expected = '{"n":1e400, "login_key" :\n"[removed]" ,"n":12345678901234567890,"e":"\\ud800","z":-0.0}'
    assert remove_credentials(body.encode()).decode() == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"name":"Password","value":"S"}', '{"name":"Password","value":"[removed]"}'),
        ('{"value":["S"],"o":{"a":1},"label":"API key"}', '{"value":"[removed]","o":{"a":1},"label":"API key"}'),
        (
            '{"type":"password","name":"f1","field_value":"S"}',
            '{"type":"password","name":"f1","field_value":"[removed]"}',
        ),
        ('{"name":"Colour","value":"S"}', '{"name":"Colour","value":"S"}'),
        ('{"name":"Password","value":null}', '{"name":"Password","value":null}'),
        ('{"name":"The Token","title":"S"}', '{"name":"The Token","title":"S"}'),
        ('{"login_key":"Token","value":"S"}', '{"login_key":"[removed]","value":"S"}'),
        ('[{"name":"Password"},{"value":"S"}]', '[{"name":"Password"},{"value":"S"}]'),
    ],
)
def test_a_value_that_its_neighbour_names_is_removed(before, after):
    assert remove_credentials(before.encode()).decode() == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "https://acme.example.org/index/gotocourse/key:S,course_id:1",
            "https://acme.example.org/index/gotocourse/key:[removed]",
        ),
        ("https://a.example.org/b?id=4&token=S&x=1#y", "https://a.example.org/b?id=4&token=[removed]&x=1#y"),
        ("https://a.example.org/#access_token=S", "https://a.example.org/#access_token=[removed]"),
        ("see /login?api_key=S now", "see /login?api_key=[removed] now"),
        ("https://jo:S@a.example.org:80/x", "https://jo:[removed]@a.example.org:80/x"),
        (
            "https://a.example.org/i.png?X-Amz-Signature=S&Expires=3",
            "https://a.example.org/i.png?X-Amz-Signature=[removed]&Expires=3",
        ),
        ("https://token:8080/unit/view/id:12?monkey=S", "https://token:8080/unit/view/id:12?monkey=S"),
        ("jo@example.org at 12:30: key=S", "jo@example.org at 12:30: key=S"),
        ("https://a.example.org/b?token=", "https://a.example.org/b?token="),
    ],
)
def test_a_credential_in_a_link_is_removed(before, after):
    for escape in ("/", r"\/"):
        body = json.dumps({"x": 1, "href": before}).replace("/", escape).replace("&", r"\u0026").encode()
        assert json.loads(remove_credentials(body)) == {"x": 1, "href": after}


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_json_inside_of_a_string_is_treated_alike(depth):
    before: object = {
        "a": [{"login_key": "S", "n": "x"}, {"name": "Password", "value": "S"}],
        "u": "https://x.y/z?key=S",
    }
    after: object = {
        "a": [{"login_key": "[removed]", "n": "x"}, {"name": "Password", "value": "[removed]"}],
        "u": "https://x.y/z?key=[removed]",
    }
    for _ in range(depth):
        before, after = {"text": json.dumps(before)}, {"text": json.dumps(after)}
    assert json.loads(remove_credentials(json.dumps(before).encode())) == after


@pytest.mark.parametrize(
    "body",
    [
        rb'{"login\u005fkey":"S"}',
        rb'{"p\u0061ssword":"S"}',
        rb'{"a":"{\"t\\u006fken\":\"S\"}"}',
        rb'{"to\u006ben":"S"}',
        rb'{"a":"{\u0022token\u0022:\u0022S\u0022}"}',
        rb'{"a":"{\u0022b\u0022:\u0022{\u005c\u0022token\u005c\u0022:\u005c\u0022S\u005c\u0022}\u0022}"}',
    ],
)
def test_an_escaped_name_is_found(body):
    assert b"S" not in remove_credentials(body)


@pytest.mark.parametrize("cut", range(1, 46))
def test_a_body_that_is_cut_short_does_not_become_whole(cut):
    body = b'{"result":[{"id":"a","token":{"x":["S","y"]}}]}'
    with pytest.raises(ValueError, match=r"."):
        json.loads(remove_credentials(body[:cut]))


@pytest.mark.parametrize("remove", [remove_secrets, remove_envelope_secrets])
def test_unified_and_raw_bodies_lose_them(remove):
    body = b'{"result":[{"id":"a","remote_data":{"login_key":"S"},"debug":1}],"debug":{"x":"S"}}'
    assert b'"S"' not in remove(body)


class OlderStore:
    """Holds one response, as an earlier version stored it."""

    def get(self, key):
        return StoredResponse(
            200, datetime(2026, 3, 1, tzinfo=UTC), b'{"result":[{"id":"a","remote_data":{"login_key":"S"}}]}'
        )

    def put(self, key, response):
        raise AssertionError(key)


@pytest.mark.parametrize("response_format", ["unified", "raw"])
def test_a_response_that_an_earlier_version_stored_is_read_without_them(response_format):
    with TrutoClient.for_replay(OlderStore()) as client:
        [page] = client.fetch_pages("users", ListQuery("acme", response_format=response_format))
    assert bytes(page.records[0]) == b'{"id":"a","remote_data":{"login_key":"[removed]"}}'


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Invalid API key: abc", "Invalid API key: [removed]"),
        ("password=abc is wrong", "password=[removed] is wrong"),
        ('got {"login_key": "abc"}', 'got {"login_key": "[removed]"}'),
        ("The course is required: id", "The course is required: id"),
    ],
)
def test_an_error_names_none(message, expected):
    assert redact(message) == expected


NAMING = {"name", "code", "key", "primary_key", "course_key", "public_key", "sort_key", "course_code"}
NAMING |= {"user_id", "credential_id", "token_type"}
"""The names of the documents whose text may name what is under `value`."""
GOING = [
    "login_key",
    "Password:",
    "userPassword",
    "client_secret",
    "APIKey",
    "refreshToken",
    "otp",
    "Set-Cookie",
    "pin",
]
AMBIGUOUS = ["pass", "sid", "session_id", "tokens"]
FLAGS = ["", " ", "0", "yes", "False"]
"""Texts that are no credentials under any name."""
MARKS = ["pass", "12", " 80 %", "passed"]
"""Texts that are none under an ambiguous name."""
TEXTS = st.one_of(
    st.sampled_from([*GOING, *AMBIGUOUS, *FLAGS, *MARKS, "Colour", "key", "x=1"]),
    st.text('xyz\u00e9\U0001f44d\n\t\\"/{}[]:,', min_size=1, max_size=20).filter(lambda text: not text.isspace()),
)
NAMES = st.one_of(
    st.sampled_from([*GOING, *AMBIGUOUS, *ORDINARY, "name", "value"]), st.text('xyz\u00e9 _-019\\"', max_size=12)
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=5)),
    max_leaves=25,
)


def redact_document(value):
    """Return the document as the rule says for these names, by walking over decoded values."""
    if isinstance(value, list):
        return [redact_document(one) for one in value]
    if not isinstance(value, dict):
        return value
    labels = [
        one for key, one in value.items() if key in NAMING and isinstance(one, str) and one in {*GOING, *AMBIGUOUS}
    ]
    return {
        key: "[removed]"
        if is_credential(key, one) or (key == "value" and labels and is_credential(labels[-1], one))
        else redact_document(one)
        for key, one in value.items()
    }


def is_credential(name, value):
    if name not in {*GOING, *AMBIGUOUS}:
        return False
    if isinstance(value, str):
        return value not in FLAGS and not (name in AMBIGUOUS and value in MARKS)
    return isinstance(value, list | dict) and bool(value)


@given(DOCUMENTS, st.booleans(), st.sampled_from([None, (",", ":"), (" ,\n", " : ")]))
def test_any_document_loses_its_credentials_and_nothing_else(document, ascii_, separators):
    body = json.dumps(document, ensure_ascii=ascii_, separators=separators).encode(errors="surrogatepass")
    clean = remove_credentials(body)
    assert json.loads(clean.decode(errors="surrogatepass")) == redact_document(document)
    assert remove_credentials(clean) == clean


@given(DOCUMENTS)
def test_a_document_inside_of_a_string_loses_them_too(document):
    body = json.dumps([json.dumps(document)]).encode()
    [inner] = json.loads(remove_credentials(body))
    assert json.loads(inner) == redact_document(document)


@given(st.from_regex(re.compile(r"[A-Za-z0-9_. :-]{0,12}"), fullmatch=True))
def test_the_search_finds_every_name_of_the_rule(name):
    body = json.dumps({"padding": 1, name: "S-1"}).encode()
    assert (b"S-1" not in remove_credentials(body)) == is_credential_name(name)


@pytest.mark.parametrize("body", [b"@", b"a@b", b":@", b'"@"', b'{"a":"@"}'])
def test_an_at_sign_without_a_link_stays(body):
    assert remove_credentials(body) == body


def test_each_name_has_the_letters_by_which_a_small_body_is_searched():
    tails = [tail.translate(None, b"? _-.:/") for tail in (*list_tails(), *list_value_tails())]
    ends = {tail for tail in tails if len(tail) >= MIN_NAME_LETTERS}
    shorter = {tail for tail in tails if len(tail) < MIN_NAME_LETTERS}
    assert {one for one in shorter if any(end.endswith(one) for end in ends)} == shorter


WORDS = [
    "session",
    "id",
    "pass",
    "wd",
    "api",
    "key",
    "Password",
    "TOKEN",
    "otp",
    "hash",
    "sig",
    "user",
    "caf\u00e9",
    "7",
]
JOINTS = ["", " ", "_", "-", ".", "/", ":", "=", "@", '"', '":"', ",", "{", "&"]
PIECES = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(JOINTS)), min_size=1, max_size=6)


@settings(max_examples=500)
@given(PIECES, st.sampled_from(["", '{"', '{"x":"']))
def test_a_body_loses_the_same_credentials_whatever_its_size(pieces, start):
    body = (start + "".join(map("".join, pieces)) + '":"S"}').encode()
    blanks = b" " * (SMALL_BYTES + 1)
    assert remove_credentials(body) == remove_credentials(body + blanks).removesuffix(blanks)
