"""What a person reads when the database refuses a connection: the texts are those of libpq and PostgreSQL 15."""

import re

import pytest

from lms_pipeline.errors import SettingsError
from lms_pipeline.storage.postgres_refusals import explain_refusal, is_from_server
from lms_pipeline.storage.state import StateError

SERVER = 'connection to server at "db.example.org" (192.0.2.1), port 5432 failed: '


@pytest.mark.parametrize(
    ("reason", "kind", "words"),
    [
        (
            'FATAL:  permission denied for database "lms"\nDETAIL:  User does not have CONNECT privilege.',
            SettingsError,
            "grant it CONNECT",
        ),
        ("server does not support SSL, but SSL was required", SettingsError, "do not agree on TLS"),
        ("SSL error: certificate verify failed", SettingsError, "do not agree on TLS"),
        ('root certificate file "~/.postgresql/root.crt" does not exist', SettingsError, "do not agree on TLS"),
        (
            'FATAL:  no pg_hba.conf entry for host "192.0.2.2", user "u", database "lms", no encryption',
            SettingsError,
            "perhaps without TLS",
        ),
        ('FATAL:  password authentication failed for user "u"', SettingsError, "the user or the password"),
        ('FATAL:  role "u" does not exist', SettingsError, "the user or the password"),
        ('FATAL:  database "lms" does not exist', SettingsError, "does not exist"),
        ("FATAL:  sorry, too many clients already", StateError, "allows no connection now"),
        ("FATAL:  the database system is starting up", StateError, "allows no connection now"),
        ('FATAL:  database "lms" is not currently accepting connections', SettingsError, "is closed for connections"),
        ("session is read-only", StateError, "as a standby"),
        ("Connection refused", StateError, "can't be reached"),
    ],
)
def test_a_refusal_is_one_sentence_with_what_to_do(reason, kind, words):
    error = explain_refusal(f"{SERVER}{reason}\n", "")
    assert type(error) is kind
    assert words in str(error)
    assert not [secret for secret in ("example.org", "192.0.2", "lms", '"u"') if secret in str(error)]


FOREIGN = {
    "pg_hba": (
        "FATAL:  28000: kein pg_hba.conf-Eintrag für »192.0.2.2«, Datenbank »certificate«\nORT:  ClientAuthentication, auth.c:543",
        SettingsError,
        "perhaps without TLS",
    ),
    "role": (
        "FATAL:  28000: le rôle « u » n'existe pas\nEMPLACEMENT :  InitializeSessionUserId, miscinit.c:768",
        SettingsError,
        "the user or the password",
    ),
    "password": (
        "FATAL:  28P01: Passwort-Authentifizierung für Benutzer »u« fehlgeschlagen",
        SettingsError,
        "password",
    ),
    "right": ("FATAL:  42501: keine Berechtigung für Datenbank »lms«", SettingsError, "grant it CONNECT"),
    "database": ("FATAL:  3D000: Datenbank »certificate« existiert nicht", SettingsError, "does not exist"),
    "clients": ("FATAL:  53300: tut mir leid, schon zu viele Clients", StateError, "allows no connection now"),
    "start": ("FATAL:  57P03: das Datenbanksystem startet", StateError, "allows no connection now"),
    "unknown code": ("FATAL:  0A000: etwas anderes", StateError, "can't be reached"),
}


@pytest.mark.parametrize(("verbose_text", "kind", "words"), FOREIGN.values(), ids=FOREIGN)
def test_a_server_of_another_language_is_understood_by_its_codes(verbose_text, kind, words):
    text = re.sub(r"  \w{5}: ", "  ", verbose_text.partition("\n")[0])
    error = explain_refusal(f"{SERVER}{text}\n", f"{SERVER}\n{verbose_text}\n")
    assert type(error) is kind
    assert words in str(error)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{SERVER}FATAL:  sorry, too many clients already\n", True),
        (f"{SERVER}SCHWERWIEGEND:  tut mir leid, schon zu viele Clients\n", True),
        (
            f"{SERVER}Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?\n",
            False,
        ),
        ("timeout expired", False),
    ],
)
def test_only_the_text_of_a_server_has_a_severity(text, expected):
    assert is_from_server(text) == expected
