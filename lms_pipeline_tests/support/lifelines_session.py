"""Estimates of lifelines' Kaplan-Meier fitter: a program of an environment of its own, since lifelines needs pandas 2.

It reads a JSON list of `{"time": [...], "ended": [...]}` from stdin, and writes a list of `{"day": [...], "share": [...],
"low": [...], "high": [...]}`; NaN is null.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any


def main() -> None:
    """Estimate each curve."""
    from lifelines import KaplanMeierFitter  # type: ignore[import-not-found, unused-ignore]

    warnings.simplefilter("ignore")  # of its own divisions by zero
    json.dump([_fit(KaplanMeierFitter(), curve) for curve in json.load(sys.stdin)], sys.stdout)


def _fit(fitter: Any, curve: dict[str, list[int]]) -> dict[str, list[float | None]]:
    fitter.fit(curve["time"], curve["ended"])
    low, high = (fitter.confidence_interval_survival_function_.iloc[:, column].tolist() for column in (0, 1))
    share = fitter.survival_function_.iloc[:, 0]
    return {
        "day": share.index.tolist(),
        "share": share.tolist(),
        "low": [value if value == value else None for value in low],  # noqa: PLR0124 (NaN)
        "high": [value if value == value else None for value in high],  # noqa: PLR0124 (NaN)
    }


if __name__ == "__main__":
    main()
