"""Hypothesis strategies for JSON that nobody documented, in the places of an enrollment and elsewhere."""

import json

from hypothesis import strategies as st

from lms_pipeline_tests.support.fitting_records import DATE_TIMES, TIMESTAMPS

LEAVES = [
    *("id", "status", "progress_percent", "score", "is_mandatory", "attempt_number", "attempts_count"),
    *("time_spent_seconds", "custom_fields", *TIMESTAMPS),
]
ODD = [
    *("1e999", "-1e999", "1e-999", "-0", "1.0", "9" * 400, "9223372036854775808"),
    *('" "', '"12"', '"1e3"', '"true"', '"2026-01-02"', '"0000-00-00 00:00:00"'),
    *(r'"\ud800"', r'"\udc00\u0000"', "[" * 60 + "]" * 60, '{"a":' * 60 + "1" + "}" * 60),
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
    | DATE_TIMES
).map(json.dumps)
names = st.sampled_from(
    [
        r'"\ud83d"',
        *map(json.dumps, ("id", "name", "email", "is_primary", "type", "url", "title", '"', "a.b", "")),
    ]
)


def _members(members):
    return "{" + ",".join(f"{name}:{value}" for name, value in members.items()) + "}"


def _items(items):
    return f"[{','.join(items)}]"


values = st.recursive(
    scalars | st.sampled_from(ODD),
    lambda inner: (
        st.lists(inner, max_size=3).map(_items) | st.dictionaries(names, inner, max_size=4).map(_members)
    ),
    max_leaves=5,
)
"""Any JSON, as text."""

people = st.fixed_dictionaries(
    {'"id"': st.sampled_from(['"u1"', "7"]) | values},
    optional={'"name"': values, '"title"': values, '"emails"': values, '"ʘ"': values},
).map(_members)
enrollments = st.fixed_dictionaries(
    {'"user"': people | values, '"course"': people},
    optional={f'"{name}"': values for name in (*LEAVES, "assigned_by", "urls", "remote_data", "other")},
).map(_members)
records = enrollments | values
"""Records as JSON texts, half of them readable by their learner and course."""
