"""Metric tables as text for people, in Markdown. No Dagster, and no SQL of its own."""
