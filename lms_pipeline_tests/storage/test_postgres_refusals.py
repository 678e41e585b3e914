"""What a person reads when the database refuses a connection: the texts are those of libpq and PostgreSQL 15."""

import pytest

from lms_pipeline.errors import SettingsError
from lms_pipeline.storage.postgres import _explain_refusal
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
        ("session is read-only", StateError, "as a standby"),
        ("Connection refused", StateError, "can't be reached"),
    ],
)
def test_a_refusal_is_one_sentence_with_what_to_do(reason, kind, words):
    error = _explain_refusal(Exception(f"{SERVER}{reason}\n"))
    assert type(error) is kind
    assert words in str(error)
    assert not [secret for secret in ("example.org", "192.0.2", "lms", '"u"') if secret in str(error)]
