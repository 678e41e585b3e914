"""What httpx may log: no cursor, no id and no webhook address.

Belongs here: the one filter on httpx's logger, which the command line and the definitions install without importing
httpx. Not here: error messages (`errors.py`).
"""

from __future__ import annotations

import logging


def install_logging_filters() -> None:
    """Reduce every URL in httpx's log lines to scheme and host; calling it again changes nothing.

    Queries hold cursors and e-mail addresses, paths hold ids of learners, and the path of a webhook is its secret.
    """
    logging.getLogger("httpx").addFilter(_shorten_urls)


def _shorten_urls(record: logging.LogRecord) -> bool:
    import httpx

    if isinstance(record.args, tuple):
        record.args = tuple(
            f"{value.scheme}://{value.host}" if isinstance(value, httpx.URL) else value for value in record.args
        )
    return True
