"""The Dagster face of the package: partitions, assets, schedules, sensors. Logic lives elsewhere."""
