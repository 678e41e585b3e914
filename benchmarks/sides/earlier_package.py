"""The calls into commits with the layout of a4277a4, whose modules have other names.

Belongs here: what differs from `package.py`. Remove it when no earlier commit is worth a comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from benchmarks.sides.package import DAY, INTEGRATION, NOW, RUN_ID, Package, Work

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


def load(path: str) -> Any:  # noqa: ANN401 (mypy sees the present layout only)
    """Return an attribute of a module: `module.name`."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(f"lms_pipeline.{module}"), name)


class EarlierPackage(Package):
    """The package in its earlier layout."""

    def add_account(self, account: str) -> Any:  # noqa: ANN401
        """Register an account, and return its partition."""
        self.data.registry.parent.mkdir(parents=True, exist_ok=True)
        load("registry.Registry")(self.data.registry).add(account, name=account, first_day=DAY)
        return load("lake.paths.Partition")(account, DAY)

    def prepare_pull(self, account: str) -> Work:
        """Prepare the pull of an account."""
        take_snapshot, truto = load("snapshot.take_snapshot"), load("connection.Truto")(self.settings)
        self.add_account(account)
        order = load("ordering.order_for")(self.settings, self.data, account, DAY, RUN_ID)
        calendar, now = self.settings.calendar, self.settings.now

        def pull() -> Mapping[str, float]:
            report = take_snapshot(truto.connect, self.data, calendar, now, order)
            return {"rows": report.served, "requests": report.requests}

        return pull

    def prepare_metrics(self, account: str) -> Work:
        """Prepare the three metric tables of a pulled account."""
        measure, tables = load("measuring.measure"), load("lake.catalog.METRIC_TABLES")
        partition, calendar = load("lake.paths.Partition")(account, DAY), self.settings.calendar

        def compute() -> Mapping[str, float]:
            published = measure(self.data, tables, partition, calendar, integration=INTEGRATION, run_id=RUN_ID)
            return {"rows": sum(one.rows for one in published)}

        return compute

    def prepare_checks(self, account: str) -> Work:
        """Prepare all checks of the tables of an account."""
        checks = (*load("checks.catalog.PULL_CHECKS"), *load("checks.catalog.METRIC_CHECKS"))
        open_subject, partition = load("checks.subject.looking"), load("lake.paths.Partition")(account, DAY)

        def run() -> Mapping[str, float]:
            with open_subject(self.settings, self.data, partition) as open_table:
                found = [check.look(open_table(table)) for check in checks for table in check.tables]
            return {"findings": len(found), "failed": sum(not finding.passed for finding in found)}

        return run

    def prepare_transform(self) -> Callable[[Sequence[bytes]], Mapping[str, float]]:
        """Prepare the transformation of the bodies of pages."""
        flattener_class, read_page = load("enrollments.flatten.EnrollmentFlattener"), load("truto.page.read_page")

        def transform(bodies: Sequence[bytes]) -> Mapping[str, float]:
            flattener, rows, raw_rows = flattener_class("enrollment_id"), 0, 0
            for body in bodies:
                batches = flattener.flatten(read_page(body, NOW).records, NOW)
                rows, raw_rows = rows + batches.unified.num_rows, raw_rows + batches.raw.num_rows
            return {"rows": rows, "raw_rows": raw_rows, "read_leniently": flattener.counts["read_leniently"]}

        return transform

    def prepare_warehouse(self) -> Work:
        """Prepare a build of the warehouse."""
        build = load("lake.warehouse.build")
        return lambda: {"rows": sum(build(self.data).values())}

    def open_warehouse(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the warehouse for queries."""
        connection: AbstractContextManager[duckdb.DuckDBPyConnection] = load("lake.warehouse.reading")(self.data)
        return connection

    @contextmanager
    def open_dagster(self) -> Iterator[Callable[[str], None]]:
        """Yield a function that runs the daily job of an account."""
        run_partitions = load("defs.running.run_partitions")
        defs = load("definitions.build_defs")(self.settings)
        with load("defs.running.open_instance")(self.settings) as instance:

            def run(account: str) -> None:
                (outcome,) = run_partitions(defs, instance, [self.add_account(account)])
                if outcome.error:
                    raise RuntimeError(outcome.error)

            yield run

    def build_enrollments_schema(self) -> pa.Schema:
        """Return the Arrow schema of `unified_enrollments`."""
        schema: pa.Schema = load("schema.arrow_schema")(load("enrollments.tables.UNIFIED_ENROLLMENTS"))
        return schema
