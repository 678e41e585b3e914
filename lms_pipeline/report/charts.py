"""The charts as Vega-Lite specifications, and the two themes that colour them.

Belongs here: pure functions from figures to plain dicts. Every mark names a style of the theme, and differs from its
neighbours in black and white too: by dashes, by position, or by the number beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

from lms_pipeline.report.views import Spec
from lms_pipeline.report.words import format_percent

STYLES = ("first", "second", "third", "fourth")
"""Styles of series, in order."""
DASHES = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3))
"""The dashes of the series, in order."""
ROW_HEIGHT = 44
"""Pixels of a bar with the line of text above it."""
BAR_HEIGHT = 9
CHARACTER_WIDTH = 8
"""Pixels of a character of the number of a bar; its name has the rest of the line."""
CELL_WIDTH = 44
CELL_HEIGHT = 26
TURNED_CELL_FROM = 0.78
"""The rate from which the number in a cell of the heat map has the other colour: contrast is above 4.2 in both themes."""


_WIDE: Spec = {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}
"""The width of a chart that fills its place on the page."""


class Series(NamedTuple):
    """A line of a chart."""

    name: str
    points: Sequence[tuple[date, float]]


class Bar(NamedTuple):
    """A bar of a ranking."""

    name: str
    size: float
    label: str
    """The number with its denominator."""


class HeatCell(NamedTuple):
    """A cell of the cohort heat map."""

    cohort: str
    month: int
    rate: float


class BandPoint(NamedTuple):
    """A day of a curve with its confidence band."""

    series: str
    day: int
    share: float
    low: float | None
    high: float | None


def _percent_axis(title: str | None = None) -> dict[str, Any]:
    return {"format": ".0%", "title": title, "tickCount": 5}


def _series_scales(names: Sequence[str]) -> dict[str, Any]:
    """Return the encodings that tell series apart: a colour of the theme and dashes, in one legend above the chart."""
    legend = {
        "orient": "top",
        "direction": "vertical",
        "title": None,
        "symbolType": "stroke",
        "symbolSize": 500,
        "symbolStrokeWidth": 2.5,
        "labelLimit": 300,
    }
    return {
        "color": {"field": "series", "type": "nominal", "scale": {"domain": list(names)}, "legend": legend},
        "strokeDash": {
            "field": "series",
            "type": "nominal",
            "scale": {"domain": list(names), "range": [list(dash) for dash in DASHES[: len(names)]]},
            "legend": legend,
        },
    }


def build_trend(series: Sequence[Series]) -> Spec:
    """Return lines of rates by day."""
    values = [
        {"day": point.isoformat(), "rate": round(rate, 4), "series": one.name}
        for one in series
        for point, rate in one.points
    ]
    return {
        **_WIDE,
        "height": 240,
        "data": {"values": values},
        "mark": {"type": "line", "strokeWidth": 2.25, "point": {"size": 28, "filled": True}, "interpolate": "linear"},
        "encoding": {
            "x": {
                "field": "day",
                "type": "temporal",
                "axis": {
                    "title": None,
                    "format": "%-d %b",
                    "grid": False,
                    "labelOverlap": "greedy",
                    "labelSeparation": 10,
                    "tickCount": {"interval": "day", "step": _choose_step(values)},
                },
            },
            "y": {"field": "rate", "type": "quantitative", "scale": {"domain": [0, 1]}, "axis": _percent_axis()},
            **_series_scales([one.name for one in series]),
            "tooltip": [
                {"field": "series", "type": "nominal", "title": "Rate"},
                {"field": "day", "type": "temporal", "title": "Day", "format": "%-d %B %Y"},
                {"field": "rate", "type": "quantitative", "title": "Share", "format": ".1%"},
            ],
        },
    }


def _choose_step(values: Sequence[dict[str, Any]]) -> int:
    """Return the days between ticks: one each for a week, fewer for longer."""
    days = sorted({value["day"] for value in values})
    span = (date.fromisoformat(days[-1]) - date.fromisoformat(days[0])).days if days else 0
    return max(1, span // 8)


def build_ranking(bars: Sequence[Bar]) -> Spec:
    """Return horizontal bars of shares in the given order, with the name and the number above each."""
    values = [_describe_bar(bar, number) for number, bar in enumerate(bars)]
    return _build_bars(values, 1, "first")


def build_counts(counts: Sequence[tuple[str, int]]) -> Spec:
    """Return horizontal bars of counts in the given order, with the name and the number above each."""
    top = max((count for _, count in counts), default=0) or 1
    values = [_describe_bar(Bar(name, count, f"{count:,}"), number) for number, (name, count) in enumerate(counts)]
    return _build_bars(values, top, "second")


def _describe_bar(bar: Bar, number: int) -> dict[str, Any]:
    return {"row": number, "name": bar.name, "size": round(bar.size, 4), "label": bar.label}


def _build_bars(values: Sequence[dict[str, Any]], top: float, style: str) -> Spec:
    """Return the layers of a bar chart that needs no axis, so that long names have room on a phone."""
    start, end = {"datum": 0, "type": "quantitative"}, {"datum": top, "type": "quantitative"}
    above = {"type": "text", "baseline": "bottom", "dy": -4}
    label_width = CHARACTER_WIDTH * (2 + max((len(value["label"]) for value in values), default=0))
    return {
        **_WIDE,
        "height": len(values) * ROW_HEIGHT,
        "data": {"values": list(values)},
        "encoding": {
            "y": {"field": "row", "type": "ordinal", "axis": None, "scale": {"padding": 0}},
            "x": {"field": "size", "type": "quantitative", "scale": {"domain": [0, top], "nice": False}, "axis": None},
        },
        "layer": [
            {
                "mark": {"type": "bar", "style": "track", "height": BAR_HEIGHT, "yOffset": 8},
                "encoding": {"x": end, "x2": {"datum": 0}},
            },
            {"mark": {"type": "bar", "style": style, "height": BAR_HEIGHT, "yOffset": 8}},
            {
                "mark": {**above, "style": "label", "align": "left", "limit": {"expr": f"width - {label_width}"}},
                "encoding": {"x": start, "text": {"field": "name"}},
            },
            {"mark": {**above, "style": "value", "align": "right"}, "encoding": {"x": end, "text": {"field": "label"}}},
        ],
    }


def build_heat_map(cells: Sequence[HeatCell]) -> Spec:
    """Return a heat map of cohorts by months since they began, with the percent in each cell."""
    values = [
        {
            "cohort": cell.cohort,
            "month": cell.month,
            "rate": round(cell.rate, 4),
            "label": format_percent(cell.rate, is_whole=True),
        }
        for cell in cells
    ]
    text: Spec = {"mark": {"type": "text", "fontSize": 11}, "encoding": {"text": {"field": "label"}}}
    return {
        "width": {"step": CELL_WIDTH},
        "height": {"step": CELL_HEIGHT},
        "data": {"values": values},
        "encoding": {
            "x": {
                "field": "month",
                "type": "ordinal",
                "axis": {
                    "title": "Months since the month of enrollment",
                    "orient": "top",
                    "labelAngle": 0,
                    "domain": False,
                    "ticks": False,
                },
            },
            "y": {
                "field": "cohort",
                "type": "ordinal",
                "sort": None,
                "axis": {"title": None, "domain": False, "ticks": False, "labelLimit": 220},
            },
        },
        "layer": [
            {
                "mark": {"type": "rect", "style": "cell"},
                "encoding": {
                    "color": {"field": "rate", "type": "quantitative", "scale": {"domain": [0, 1]}, "legend": None}
                },
            },
            {
                **text,
                "mark": {**text["mark"], "style": "low-label"},
                "transform": [{"filter": f"datum.rate < {TURNED_CELL_FROM}"}],
            },
            {
                **text,
                "mark": {**text["mark"], "style": "high-label"},
                "transform": [{"filter": f"datum.rate >= {TURNED_CELL_FROM}"}],
            },
        ],
    }


def build_curves(points: Sequence[BandPoint]) -> Spec:
    """Return step lines of shares by days since enrollment, each with its confidence band."""
    names = list(dict.fromkeys(point.series for point in points))
    values = [_describe_point(point) for point in points]
    scales = _series_scales(names)
    day = {
        "field": "day",
        "type": "quantitative",
        "axis": {"title": "Days since enrollment", "grid": False, "tickMinStep": 1, "tickCount": 6},
        "scale": {"nice": False},
    }
    y: dict[str, Any] = {"type": "quantitative", "scale": {"domain": [0, 1]}, "axis": _percent_axis()}
    return {
        **_WIDE,
        "height": 260,
        "data": {"values": values},
        "encoding": {"x": day},
        "layer": [
            {
                "transform": [{"filter": "isValid(datum.low)"}],
                "mark": {"type": "area", "style": "band", "interpolate": "step-after"},
                "encoding": {
                    "y": {**y, "field": "low"},
                    "y2": {"field": "high"},
                    "color": {name: part for name, part in scales["color"].items() if name != "legend"},
                },
            },
            {
                "mark": {"type": "line", "strokeWidth": 2.25, "interpolate": "step-after"},
                "encoding": {
                    "y": {**y, "field": "share"},
                    **scales,
                    "tooltip": [
                        {"field": "series", "type": "nominal", "title": "Share"},
                        {"field": "day", "type": "quantitative", "title": "Day"},
                        {"field": "share", "type": "quantitative", "title": "Value", "format": ".1%"},
                    ],
                },
            },
        ],
    }


def _describe_point(point: BandPoint) -> dict[str, Any]:
    value = {"series": point.series, "day": point.day, "share": round(point.share, 4)}
    if point.low is None or point.high is None:
        return value
    return {**value, "low": round(point.low, 4), "high": round(point.high, 4)}


def build_theme(*, is_dark: bool) -> dict[str, Any]:
    """Return the configuration of all charts: colours with enough contrast on the page, its fonts, no frame."""
    ink, muted, grid, track = (
        ("#e8eaed", "#a9b1ba", "#2c333b", "#242b33") if is_dark else ("#1c2127", "#57606a", "#e3e6ea", "#edf0f3")
    )
    series = ["#7fb2e5", "#f0a868", "#8fcf9f", "#c9a6e8"] if is_dark else ["#1d5a92", "#b4530a", "#2d7a46", "#6b459c"]
    ramp = ["#1a222b", "#1d3c5a", "#27608f", "#6fb0ea"] if is_dark else ["#f1f5f9", "#c3daee", "#6ea3d3", "#0f3d68"]
    low, high = ("#ffffff", "#000000") if is_dark else ("#000000", "#ffffff")
    font = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
    return {
        "background": None,
        "font": font,
        "mark": {"aria": False},
        "padding": 2,
        "view": {"stroke": None},
        "axis": {
            "labelColor": muted,
            "titleColor": muted,
            "titleFontWeight": "normal",
            "labelFontSize": 12,
            "titleFontSize": 12,
            "gridColor": grid,
            "domainColor": grid,
            "tickColor": grid,
        },
        "axisY": {"labelColor": ink},
        "legend": {"labelColor": ink, "labelFontSize": 13, "offset": 10, "rowPadding": 4},
        "range": {"category": series, "heatmap": ramp, "ramp": ramp},
        "line": {"strokeCap": "butt"},
        "style": {
            **{name: {"color": colour} for name, colour in zip(STYLES, series, strict=True)},
            "track": {"color": track},
            "label": {"color": ink, "fontSize": 13},
            "value": {"color": ink, "fontSize": 13, "fontWeight": 600},
            "cell": {"stroke": "#14191f" if is_dark else "#ffffff", "strokeWidth": 2},
            "low-label": {"color": low},
            "high-label": {"color": high},
            "band": {"opacity": 0.18},
        },
    }
