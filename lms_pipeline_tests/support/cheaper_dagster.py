"""What Dagster's tests would compute over and over: compiled statements of its SQLite files, and parts of the definitions.

Dagster creates an engine for each statement in the file of runs, and each engine compiles its statements again, which more than
doubles the CPU time of a statement. Which statements are sent, and when a file is opened and closed, stays the same.

`build_defs` is called by most tests. Half of its CPU time is the ticks of a year, of which none may be late; the
jobs and the columns of tables depend on no settings.

Not here: what happens in the files (`lms_pipeline/defs/event_log.py` and Dagster), and tests of the schedule's ticks, which call
the function itself.
"""

from functools import cache

import pytest
import sqlalchemy
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage

from lms_pipeline.defs import event_log, jobs, metadata


@pytest.fixture(scope="module", autouse=True)
def cheaper_dagster():
    """Compile a statement once in a process, keep the engines that hold no connection, and build once what no settings change."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (sqlite_run_storage, sqlite_schedule_storage):
            patch.setattr(module, "create_engine", cache(_create_engine))  # of the class NullPool
        for module in (sqlite_event_log, event_log):
            patch.setattr(module, "create_engine", _create_engine)
        patch.setattr(jobs, "check_schedule", _remember_accepted(jobs.check_schedule))
        patch.setattr("lms_pipeline.definitions.build_jobs", cache(jobs.build_jobs))
        for name in ("build_column_schema", "build_column_lineage"):
            patch.setattr(metadata, name, cache(getattr(metadata, name)))
        yield


@cache
def _open_template():
    """Create the engine whose compiled statements all others use."""
    template = sqlalchemy.create_engine("sqlite://")
    with template.connect():
        pass  # sets what the dialect knows of the library
    return template


def _create_engine(url, **options):
    engine, template = sqlalchemy.create_engine(url, **options), _open_template()
    assert type(engine.dialect) is type(template.dialect)
    engine.dialect = template.dialect
    engine._compiled_cache = template._compiled_cache  # its keys hold the dialect
    return engine


_accepted: set[tuple[object, ...]] = set()


def _remember_accepted(check_schedule):
    """Return the function, which checks the same settings of a day once if it accepts them."""

    def check_once(settings):
        today = settings.now().astimezone(settings.calendar.zone).date()
        key = (settings.schedule, settings.timezone, settings.calendar, today)
        if key not in _accepted:
            check_schedule(settings)
            _accepted.add(key)

    return check_once
