import pytest

from benchmarks.ratios import Limit, Row, compute_ratios, compute_spread


def test_each_round_has_its_own_ratio():
    assert compute_ratios([2.0, 9.0, 8.0], [4.0, 6.0, 2.0]) == (0.5, 1.5, 4.0)


def test_rounds_that_do_not_pair_are_an_error():
    with pytest.raises(ValueError, match="shorter"):
        compute_ratios([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("values", "spread"),
    [
        ((3.0,), 0.0),
        ((2.0, 2.0, 2.0), 0.0),
        ((1.0, 2.0, 3.0), 0.5),  # the middle half is 1.5 to 2.5
        ((1.0, 2.0, 4.0, 5.0, 100.0), 0.75),  # 2 to 5: the slowest round does not count
        ((-1.0, 0.0, 1.0), float("inf")),
        ((0.0, 0.0), 0.0),
    ],
)
def test_the_spread_is_that_of_the_middle_half(values, spread):
    assert compute_spread(values) == spread


def test_the_figure_is_the_median():
    assert Row("", (1.0, 7.0, 2.0), Limit(1)).median == 2.0


@pytest.mark.parametrize(
    ("value", "limit", "is_met"),
    [
        (0.55, Limit(0.55), True),
        (0.56, Limit(0.55), False),
        (5.0, Limit(5, is_upper=False), True),
        (4.9, Limit(5, is_upper=False), False),
    ],
)
def test_a_limit_includes_its_value(value, limit, is_met):
    assert limit.is_met_by(value) is is_met


@pytest.mark.parametrize(("limit", "text"), [(Limit(0.55), "<= 0.55"), (Limit(5, is_upper=False), ">= 5")])
def test_a_limit_is_shown_with_its_direction(limit, text):
    assert str(limit) == text


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.9, 1.0, 1.1), "met"),
        ((1.9, 2.0, 2.1), "missed"),
        ((0.5, 1.0, 3.0), "too noisy"),
        ((0.2, 0.5, 0.9), "met"),  # noisy, but each round meets it
        ((2.0, 5.0, 9.0), "missed"),
        ((0.1,), "met"),
    ],
)
def test_noisy_rounds_on_both_sides_of_the_limit_say_nothing(values, verdict):
    assert Row("", values, Limit(1.2)).judge() == verdict
