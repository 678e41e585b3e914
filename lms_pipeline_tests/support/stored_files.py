"""Files that tests publish into a store, whatever it is."""

import pytest

KEY = "lake/courses/account_id=a/snapshot_date=2026-01-31/data.parquet"
OTHER_KEY = "lake/courses/account_id=b/snapshot_date=2026-01-31/data.parquet"


@pytest.fixture
def publish(tmp_path):
    """Publishes a content, as a run that saw what is stored now unless it is given."""

    def published(store, content, key=KEY, **seen):
        new = tmp_path / "new"
        new.write_bytes(content)
        store.publish(new, key, seen["seen"] if seen else store.find(key))

    return published
