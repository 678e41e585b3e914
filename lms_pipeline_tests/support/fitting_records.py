"""Hypothesis strategies for enrollments that fit the documentation, with undocumented keys."""

import json
from datetime import timedelta, timezone

from hypothesis import strategies as st

OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TEXTS = st.text(max_size=8)
IDS = TEXTS.filter(str.strip)
INT64 = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | INT64
INSTANTS = st.datetimes(timezones=st.none() | OFFSETS).filter(lambda instant: 1980 < instant.year < 9999)
DATE_TIMES = INSTANTS.map(lambda instant: instant.isoformat()) | INSTANTS.map(
    lambda instant: instant.strftime("%Y").zfill(4) + instant.strftime("-%m-%dT%H:%M:%SZ")
)
UTC_TIMES = st.builds(
    lambda instant, spec: f"{instant.isoformat(timespec=spec)}Z",
    st.datetimes().filter(lambda instant: 1980 <= instant.year < 9999),
    st.sampled_from(["seconds", "milliseconds", "microseconds"]),
)
"""Timestamps of the forms that a page of records is read with at once."""
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
TIMESTAMPS = [
    "assigned_at",
    "enrolled_at",
    "started_at",
    "completed_at",
    "due_at",
    "last_activity_at",
    "created_at",
    "updated_at",
]

ANY_KEYS = st.text(max_size=5) | st.sampled_from(
    ['"', 'a"b', "a\\b", "\n", "a.b", "user.id", "[0]", "clé", "undocumented_0"]
)


def build_objects(keys, required, optional):
    """Return a strategy for objects with the required fields, some optional ones (or null), and undocumented keys."""
    documented = st.fixed_dictionaries(
        required, optional={name: st.none() | values for name, values in optional.items()}
    )
    names = {*required, *optional}
    undocumented = st.dictionaries(keys.filter(lambda key: key not in names), JSON, max_size=2)
    return st.builds(lambda one, other: {**other, **one}, documented, undocumented)


def build_enrollments(keys, times=DATE_TIMES):
    """Return a strategy for enrollments as Python dicts, with `times` and with undocumented `keys` at every level."""
    email = build_objects(keys, {}, {"email": TEXTS, "is_primary": st.booleans(), "type": TEXTS})
    url = build_objects(keys, {}, {"type": TEXTS, "url": TEXTS})
    emails = st.lists(email, max_size=3)
    optional = {
        "status": st.sampled_from(["completed", "Enrolled", "dropped", ""]) | TEXTS,
        "progress_percent": NUMBERS,
        "score": NUMBERS,
        "is_mandatory": st.booleans(),
        "attempt_number": INT64,
        "attempts_count": INT64,
        "time_spent_seconds": INT64,
        "assigned_by": build_objects(keys, {}, {"id": IDS, "name": TEXTS}),
        "urls": st.lists(url, max_size=2),
        "custom_fields": JSON,
        "remote_data": JSON | st.fixed_dictionaries({"role": TEXTS | JSON}),
    }
    return build_objects(
        keys,
        {
            "id": IDS,
            "user": build_objects(keys, {"id": IDS}, {"name": TEXTS, "emails": emails}),
            "course": build_objects(keys, {"id": IDS}, {"title": TEXTS}),
        },
        optional | dict.fromkeys(TIMESTAMPS, times),
    )


def encode(build_enrollments):
    """Return a strategy for the enrollments as JSON, escaped or not, with white space or without."""
    return st.builds(
        lambda record, escaped, indent: json.dumps(record, ensure_ascii=escaped, indent=indent),
        build_enrollments,
        st.booleans(),
        st.sampled_from([None, 1]),
    )
