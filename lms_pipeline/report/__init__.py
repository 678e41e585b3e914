"""The completion report, and metric tables as Markdown: figures of the lake for people. No Dagster."""
