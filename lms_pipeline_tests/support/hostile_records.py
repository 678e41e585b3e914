"""Hypothesis strategies for JSON of any content, inside an enrollment and elsewhere."""

import json

from hypothesis import strategies as st

from lms_pipeline_tests.support.fitting_records import DATE_TIMES, TIMESTAMPS

LEAVES = [
    *("id", "status", "progress_percent", "score", "is_mandatory", "attempt_number", "attempts_count"),
    *("time_spent_seconds", "custom_fields", *TIMESTAMPS),
]
UNUSUAL = [
    *("1e999", "-1e999", "1e-999", "-0", "1.0", "9" * 400, "9223372036854775808"),
    *('" "', '"12"', '"1e3"', '"true"', '"2026-01-02"', '"0000-00-00 00:00:00"'),
    *(r'"\ud800"', r'"\udc00\u0000"', "[" * 60 + "]" * 60, '{"a":' * 60 + "1" + "}" * 60),
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
    | DATE_TIMES
).map(json.dumps)
NAMES = st.sampled_from(
    [r'"\ud83d"', *map(json.dumps, ("id", "name", "email", "is_primary", "type", "url", "title", '"', "a.b", ""))]
)


def encode_object(members):
    return "{" + ",".join(f"{name}:{value}" for name, value in members.items()) + "}"


def encode_array(items):
    return f"[{','.join(items)}]"


VALUES = st.recursive(
    SCALARS | st.sampled_from(UNUSUAL),
    lambda inner: (
        st.lists(inner, max_size=3).map(encode_array) | st.dictionaries(NAMES, inner, max_size=4).map(encode_object)
    ),
    max_leaves=5,
)
"""Any JSON, as text."""

PEOPLE = st.fixed_dictionaries(
    {'"id"': st.sampled_from(['"u1"', "7"]) | VALUES},
    optional={'"name"': VALUES, '"title"': VALUES, '"emails"': VALUES, '"ʘ"': VALUES},
).map(encode_object)
OTHER_NAMES = st.sampled_from([f'"{name}"' for name in (*LEAVES, "assigned_by", "urls", "remote_data", "other")])
MAX_OTHERS = 8
"""Fields of an enrollment beside its learner and course: with all of them Hypothesis discarded most records as too large."""
ENROLLMENTS = st.builds(
    lambda parts, others: encode_object(parts | others),
    st.fixed_dictionaries({'"user"': PEOPLE | VALUES, '"course"': PEOPLE}),
    st.dictionaries(OTHER_NAMES, VALUES, max_size=MAX_OTHERS),
)
RECORDS = ENROLLMENTS | VALUES
"""Records as JSON texts. About half of them have a usable learner and course."""
