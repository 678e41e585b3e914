"""Which names are those of credentials: login keys, passwords, tokens, API keys.

Belongs here: the rule for a single name, and for the text under it. Not here: the search through a body
(`scan.py`) and the replacement of what is found (`truto/secret_keys.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import product
from string import ascii_lowercase, ascii_uppercase

import msgspec

REMOVED = "[removed]"
"""What is stored in place of a credential."""
MAX_CACHED_NAMES = 4_096
"""Names whose answer is remembered: a provider has some hundred."""
MAX_NAME_LENGTH = 100
"""Characters of a name; a longer key or label is a sentence."""
MAX_KEY_BYTES = 6 * MAX_NAME_LENGTH
"""Bytes of a name in JSON, each character perhaps escaped."""
TAIL_BYTES = 8
"""Bytes at the end of a name that distinguish it from most others."""
_NAMING_WORDS = (
    *("name", "key", "label", "field", "title", "type", "attribute", "property", "parameter", "header", "id", "code"),
    *("slug", "identifier", "variable", "kind", "question"),
)
_VALUE_WORDS = ("value", "values", "val")

_KEY_KINDS = (
    *(
        "access",
        "account",
        "activation",
        "api",
        "app",
        "auth",
        "authentication",
        "authorization",
        "autologin",
        "client",
    ),
    *("consumer", "crypt", "cryption", "enrol", "enroll", "enrolment", "enrollment", "hmac", "integration", "login"),
    *(
        "master",
        "mfa",
        "otp",
        "private",
        "recovery",
        "registration",
        "reset",
        "secret",
        "security",
        "server",
        "service",
    ),
    *("session", "shared", "signin", "signing", "sso", "storage", "subscription", "token", "totp", "webhook"),
)
"""What makes a `key` a credential; `key`, `primary_key`, `course_key` or `public_key` are none."""
_CODE_KINDS = (
    *("access", "activation", "auth", "authorization", "backup", "login", "mfa", "one time", "otp", "pass", "recovery"),
    *("reset", "security", "totp", "verification"),
)
_LINK_KINDS = ("auto login", "magic", "one time", "password reset", "reset password")
_TICKET_KINDS = ("auth", "login", "session", "sso")
_CREDENTIALS_KINDS = ("api", "auth", "client", "login", "user")
_ENDINGS = (
    *("pass word", "pass words", "pass wd", "pass phrase", "pass phrases", "passwort", "kennwort", "mot de passe"),
    *("contrasena", "wachtwoord", "pwd", "secret", "secrets", "token", "tokens", "jwt", "cookie", "cookies"),
    *(f"{kind} {key}" for kind in _KEY_KINDS for key in ("key", "keys")),
    *(f"{kind} {code}" for kind in _CODE_KINDS for code in ("code", "codes")),
    *(f"{kind} {link}" for kind in _LINK_KINDS for link in ("link",)),
    *(f"{kind} ticket" for kind in _TICKET_KINDS),
    *(f"{kind} credentials" for kind in _CREDENTIALS_KINDS),
    *("access key id", "session id", "session ids", "sessid", "security answer", "secret answer", "saml response"),
    *("saml assertion", "otp seed", "auth hash", "login hash"),
)
"""How a name ends, if it is a credential's. A separator may stand where a space is, or nothing."""
_LAST_WORDS = ("bearer", "otp", "otps", "pass", "pin", "pins", "sid", "totp")
"""Short names, which must be whole words: `pass` is one, `compass` is none."""
_WHOLE_NAMES = ("authorization", "proxy authorization", "http authorization", "x authorization")
_FORMS = {"hash", "digest", "salt", "confirmation", "confirm", "encrypted", "plaintext", "temporary"}
"""Words after a credential's name that say in which form it is: `password_hash`."""
_LINK_NAMES = {"key", "sig", "signature", "ticket"}
"""Names of parameters that are credentials in a link only, as `key` in TalentLMS's `.../gotocourse/key:...`."""
_AMBIGUOUS = re.compile(r"(?:pass|sid|session ?ids?|tokens)\Z")
"""Names with an ordinary meaning too, for which a text that is a number or a mark is none: a quiz's `pass`, the
`session_id` of a classroom training, `tokens` of a game."""

_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
SEPARATORS = " _-.:/"
"""Characters that may stand between the words of one name."""
_WORD = re.compile(rf"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^A-Za-z0-9{re.escape(SEPARATORS)}]+")
_NUMBER_OR_MARK = re.compile(r"\s*+(?:\d{1,19}+(?:[.,]\d++)?+\s*+%?+|pass(?:ed)?+|fail(?:ed)?+)\s*+\Z", re.IGNORECASE)
_FLAG = re.compile(r"\s*+(?:0|1|true|false|yes|no)?+\s*+\Z", re.IGNORECASE)


def _join(names: Iterable[str]) -> str:
    return "|".join(name.replace(" ", " ?") for name in names)


_NAME = re.compile(rf"(?:{_join(_ENDINGS)}|(?<![^ ])(?:{'|'.join(_LAST_WORDS)})|\A(?:{_join(_WHOLE_NAMES)}))\Z")


def is_credential_name(name: str) -> bool:
    """Return whether a member, a custom field or a parameter with this name holds a credential.

    The case and the separators of words don't matter: `login_key`, `loginKey`, `LOGIN-KEY` and `Login key` are one name.
    The last word decides, so that `token_count` and `password_changed_at` are none.
    """
    if len(name) > MAX_NAME_LENGTH:
        return False
    return any(_NAME.search(_normalize(one)) for one in (name, name.translate(_LOWER)))


def is_link_credential_name(name: str) -> bool:
    """Return whether a parameter of a link holds a credential."""
    name = name[-MAX_NAME_LENGTH:]
    return _normalize(name).rpartition(" ")[2] in _LINK_NAMES or is_credential_name(name)


def is_credential_text(name: str, text: str) -> bool:
    """Return whether a text under a credential's name is one: not if it is empty, or a flag such as `yes` or `0`."""
    if _FLAG.match(text):
        return False
    last = _normalize(name)
    return not ((_AMBIGUOUS.search(last) or last in _LINK_NAMES) and _NUMBER_OR_MARK.match(text))


@lru_cache(MAX_CACHED_NAMES)
def is_credential_key(key: bytes) -> bool:
    """Return whether a key, as it stands in JSON between its quotes, is a credential's name."""
    return len(key) <= MAX_KEY_BYTES and is_credential_name(decode_string(key))


@lru_cache(MAX_CACHED_NAMES)
def is_naming_key(key: bytes) -> bool:
    """Return whether the text under a key may name what another member of the object holds: `{"name": "Password", ...}`."""
    return _read_last_word(key) in _NAMING_WORDS and not is_credential_key(key)


@lru_cache(MAX_CACHED_NAMES)
def is_value_key(key: bytes) -> bool:
    """Return whether a key is that of the value which another member of the object names."""
    return _read_last_word(key) in _VALUE_WORDS


def _read_last_word(key: bytes) -> str:
    return _normalize(decode_string(key[:MAX_KEY_BYTES])).rpartition(" ")[2]


def decode_string(key: bytes) -> str:
    """Return the text of a key or a string as it stands in JSON between its quotes; as it is, if that is no JSON."""
    if b"\\" in key:
        try:
            return msgspec.json.decode(b'"%b"' % key, type=str)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
    return key.decode(errors="replace")


def list_tails() -> list[bytes]:
    """Return how the names end for which a rule of this file can hold: their last four characters in lower case.

    Numbers and other characters after the last letter don't belong to it. `?` stands for any character.
    """
    tails = []
    for ending in (*_ENDINGS, *_WHOLE_NAMES, *_LAST_WORDS, *_FORMS, *_LINK_NAMES):
        rest, _, last = ending.rpartition(" ")
        tails.append((rest[-1:] + last).encode()[-4:].rjust(4, b"?"))
        if rest and len(last) < 4:
            befores = SEPARATORS if len(last) == 3 else map("".join, product((rest[-1], *SEPARATORS), SEPARATORS))
            tails.extend(f"{before}{last}".encode() for before in befores)
    return tails


@lru_cache(MAX_CACHED_NAMES)
def can_end_credential(tail: bytes) -> bool:
    """Return whether a credential's name can end with these eight bytes of JSON, or with those after a quote in them."""
    _, quote, name = tail.rpartition(b'"')
    if quote:
        return is_credential_key(name)
    text = tail.decode("latin-1")
    for end in (_normalize(text), _normalize(text.translate(_LOWER))):
        if not end or end in _PARTS or end.endswith(_SHORTEST):
            return True
    return False


def _spell(name: str) -> Iterator[str]:
    """Yield a name with and without a space where one may stand."""
    for joints in product(("", " "), repeat=name.count(" ")):
        yield "".join(word + joint for word, joint in zip(name.split(), (*joints, ""), strict=True))


_SPELLINGS = [spelling for name in (*_ENDINGS, *_WHOLE_NAMES, *_LAST_WORDS) for spelling in _spell(name)]
_PARTS = {spelling[start:].strip() for spelling in _SPELLINGS for start in range(len(spelling))}
_SHORTEST = tuple(spelling for spelling in _SPELLINGS if len(spelling) <= TAIL_BYTES)


def list_value_tails() -> list[bytes]:
    """Return how the keys of values end that another member names, as `list_tails`."""
    return [word.encode()[-4:].rjust(4, b"?") for word in _VALUE_WORDS]


def _normalize(name: str) -> str:
    """Return the words of a name in lower case, a space between two, without the numbers and the forms at its end."""
    words = [word.lower() for word in _WORD.findall(name)]
    while words and (words[-1] in _FORMS or not words[-1].isalpha() or not words[-1].isascii()):
        words.pop()
    return " ".join(words)
