"""The report as one HTML file that loads nothing: the page, its style, its charts and the library that draws them.

Belongs here: filling the templates, what goes into script elements, and the policy that forbids every request. Not here:
what the sections show (`sections/`).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from lms_pipeline import __version__
from lms_pipeline.report.charts import build_theme
from lms_pipeline.report.content import ReportContent
from lms_pipeline.report.sections.attention import build_attention
from lms_pipeline.report.sections.courses import build_accounts, build_courses
from lms_pipeline.report.sections.definitions import build_definitions
from lms_pipeline.report.sections.headline import build_lead, build_scope, build_tiles, list_notes
from lms_pipeline.report.sections.mandatory import build_mandatory
from lms_pipeline.report.sections.over_time import build_cohorts, build_curve_section, build_trend_section
from lms_pipeline.report.sections.quality import build_quality
from lms_pipeline.report.views import Section
from lms_pipeline.report.words import format_day, format_instant

TEMPLATES = Path(__file__).parent / "templates"


def render_page(content: ReportContent) -> str:
    """Return the report as HTML. The same content gives the same text."""
    import jinja2
    from markupsafe import Markup

    sections = build_sections(content)
    scripts = [_load_library(), _read_template("page.js")]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        content=content,
        day=format_day(content.day),
        generated_at=format_instant(content.generated_at),
        zone=str(content.generated_at.tzinfo),
        version=__version__,
        lead=build_lead(content),
        scope=build_scope(content),
        tiles=build_tiles(content),
        notes=list_notes(content),
        sections=sections,
        policy=build_policy(scripts),
        # these texts are ours, or made safe for a script element
        style=Markup(_read_template("page.css")),  # noqa: S704
        charts=Markup(build_chart_data(sections)),  # noqa: S704
        scripts=[Markup(script) for script in scripts],  # noqa: S704
    )


def build_sections(content: ReportContent) -> list[Section]:
    """Return the sections in the order of the page."""
    sections = [
        build_trend_section(content),
        build_mandatory(content),
        build_attention(content),
        build_accounts(content),
        build_courses(content),
        build_cohorts(content),
        build_curve_section(content),
        build_quality(content),
        build_definitions(content),
    ]
    return [section for section in sections if section is not None]


def build_chart_data(sections: Iterable[Section]) -> str:
    """Return the specifications of all charts and the themes as JSON that can't end its script element."""
    specs = {
        figure.chart.id: figure.chart.spec
        for section in sections
        for figure in section.exhibits
        if figure.chart is not None
    }
    data: dict[str, Any] = {
        "themes": {"light": build_theme(is_dark=False), "dark": build_theme(is_dark=True)},
        "specs": specs,
    }
    from jinja2.utils import htmlsafe_json_dumps

    return str(htmlsafe_json_dumps(data, separators=(",", ":"), allow_nan=False))


def build_policy(scripts: Iterable[str]) -> str:
    """Return the Content-Security-Policy: no request to any host, and no script but these.

    Styles may be inline, since the library sets some; without a request they can send nothing.
    """
    hashes = " ".join(f"'sha256-{_hash(script)}'" for script in scripts)
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def _load_library() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script, from the package `vl-convert-python`; it takes 2 s."""
    import vl_convert

    script: str = vl_convert.javascript_bundle()  # type: ignore[call-arg] # its types lack the default
    if "</script" in script.lower() or "<!--" in script:
        raise ValueError("The chart library can't stand in a script element.")
    return script


@cache
def _read_template(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")
