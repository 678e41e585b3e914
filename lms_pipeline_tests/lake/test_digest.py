"""The digest: of the rows alone, whatever their order, their batches and their size."""

import hashlib
from datetime import timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lms_pipeline.lake import digest as digest_module
from lms_pipeline.lake import engine
from lms_pipeline.lake.digest import Digest
from lms_pipeline.tables.pulled import COURSES, RAW_ENROLLMENTS, UNIFIED_ENROLLMENTS
from lms_pipeline.tables.schema import arrow_schema
from lms_pipeline_tests.support.lake_files import NOON, batch, enrollment


def digest_of(*batches: pa.RecordBatch) -> str:
    digest = Digest()
    for one in batches:
        digest.update(pa.Table.from_batches([one]))
    return digest.hexdigest()


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "user_id": TEXTS,
            "course_id": TEXTS,
            "user_name": st.none() | TEXTS,
            "progress_percent": st.none() | st.floats(allow_nan=False),
            "is_mandatory": st.none() | st.booleans(),
            "attempt_number": st.none() | st.integers(-(2**63), 2**63 - 1),
            "due_at": st.none() | st.timedeltas(timedelta(0), timedelta(days=9)).map(lambda wait: NOON + wait),
            "user_emails": st.none()
            | st.lists(st.fixed_dictionaries({"email": TEXTS, "is_primary": st.booleans()}), max_size=2),
        }
    ),
    max_size=12,
)


class TestDigest:
    @settings(max_examples=10, deadline=None)
    @given(ROWS, st.randoms(use_true_random=False), st.integers(1, 12))
    def test_is_the_same_in_any_order_and_batches(self, rows, chance, size):
        whole = digest_of(batch(UNIFIED_ENROLLMENTS, *rows))
        chance.shuffle(rows)
        shuffled = batch(UNIFIED_ENROLLMENTS, *rows)
        pieces = [shuffled.slice(start, size) for start in range(0, len(rows), size)]
        assert digest_of(*pieces) == whole

    def test_does_not_depend_on_when_the_rows_were_fetched(self):
        earlier, later = (
            digest_of(batch(COURSES, {"course_id": "c1", "fetched_at": at})) for at in (NOON, NOON + timedelta(days=1))
        )
        assert earlier == later

    @pytest.mark.parametrize("column", [c.name for c in UNIFIED_ENROLLMENTS.columns if c.name != "fetched_at"])
    def test_changes_with_every_other_column(self, column):
        kind = arrow_schema(UNIFIED_ENROLLMENTS).field(column).type
        values = {
            pa.string(): "other",
            pa.float64(): 1.5,
            pa.int64(): 2**60 + 1,
            pa.bool_(): False,
            pa.timestamp("us", tz="UTC"): NOON + timedelta(microseconds=1),
        }
        other = values.get(kind, [{"type": "work"}])
        plain = enrollment("u1")
        assert digest_of(batch(UNIFIED_ENROLLMENTS, plain)) != digest_of(
            batch(UNIFIED_ENROLLMENTS, plain | {column: other})
        )

    def test_changes_with_a_repeated_row(self):
        row = {"course_id": "c1"}
        found = {digest_of(batch(COURSES, *[row] * count)) for count in range(4)}
        assert len(found) == 4

    def test_differs_for_one_value_in_different_columns(self):
        title, status = ({"course_id": "c1", name: "x"} for name in ("course_title", "status"))
        assert digest_of(batch(COURSES, title)) != digest_of(batch(COURSES, status))

    def test_of_no_rows_is_zero(self):
        assert digest_of() == digest_of(batch(COURSES)) == "0" * 32

    def test_is_computed_as_documented(self):
        """The sum, modulo 2**128, of the MD5 of each row as JSON without `fetched_at`."""
        texts = [
            f'{{"course_id":"{name}","course_title":null,"status":null,"created_at":null,"updated_at":null,"extra":null}}'
            for name in ("c1", "c2")
        ]
        numbers = [int.from_bytes(hashlib.md5(text.encode()).digest(), "little") for text in texts]  # noqa: S324
        assert digest_of(batch(COURSES, {"course_id": "c1"}, {"course_id": "c2"})) == f"{sum(numbers) % 2**128:032x}"


class TestLargeRows:
    """Rows over `MAX_SLICE_BYTES` are hashed without DuckDB."""

    @pytest.fixture
    def digests(self, monkeypatch):
        """Returns the digest of a batch if its rows are small, and if each is large."""

        def compute(rows):
            usual = digest_of(rows)
            with monkeypatch.context() as patched:
                patched.setattr(digest_module, "MAX_SLICE_BYTES", 1)
                patched.setattr(digest_module, "PIECE_BYTES", 3)
                return usual, digest_of(rows)

        return compute

    def test_have_the_same_digest(self, digests):
        @settings(max_examples=25, deadline=None)
        @given(ROWS)
        def compare(rows):
            usual, large = digests(batch(UNIFIED_ENROLLMENTS, *rows))
            assert usual == large

        compare()

    def test_have_the_same_digest_with_any_character(self, digests):
        texts = [
            "".join(map(chr, range(code, code + 512))) for code in [*range(0, 0xD800, 512), 0xFE00, 0x1F600, 0x10FE00]
        ]
        usual, large = digests(batch(COURSES, *({"course_id": text} for text in texts)))
        assert usual == large

    @pytest.mark.parametrize("urls", [None, [], [None], [{}], [{"url": ""}, None, {"type": "a", "url": '"'}]])
    def test_have_the_same_digest_with_any_list(self, digests, urls):
        usual, large = digests(batch(UNIFIED_ENROLLMENTS, enrollment("u1", urls=urls)))
        assert usual == large

    @pytest.mark.parametrize(("rows", "kilobytes"), [(600, 100), (60, 1_000), (2, 30_000)])
    def test_take_no_more_memory_than_others(self, monkeypatch, rows, kilobytes):
        """DuckDB takes six bytes for each byte of text that it turns into JSON: 360 MB for 60 MB at once."""
        monkeypatch.setattr(engine, "MEMORY_LIMIT", "150MB")
        payload = pa.repeat(pa.scalar('"' * (kilobytes * 1_000)), rows)
        other = [pa.repeat(pa.scalar("x"), rows)] * 2
        fetched_at = pa.repeat(pa.scalar(NOON, pa.timestamp("us", "UTC")), rows)
        schema = arrow_schema(RAW_ENROLLMENTS)
        columns = dict(zip(schema.names, [*other, payload, *other, fetched_at], strict=True))
        assert len(digest_of(pa.RecordBatch.from_pydict(columns, schema=schema))) == 32
