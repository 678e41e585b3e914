import pytest

from lms_pipeline.lake.disk import format_bytes


@pytest.mark.parametrize(
    ("size", "told"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 KB"),
        (1_250_000, "1.2 MB"),
        (200_000_000, "200.0 MB"),
        (31_040_000_000, "31.0 GB"),
        (5_000_000_000_000, "5000.0 GB"),
    ],
)
def test_sizes_are_told_as_people_read_them(size, told):
    assert format_bytes(size) == told
