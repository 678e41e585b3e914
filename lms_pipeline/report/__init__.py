"""What people look at: the metric tables as pictures and pages. No Dagster, no SQL of its own."""
