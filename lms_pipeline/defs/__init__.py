"""The Dagster side of the package: assets, checks, jobs, schedules, sensors. The logic lives elsewhere."""
