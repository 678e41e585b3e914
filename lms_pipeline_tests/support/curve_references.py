"""Estimates of completion curves by well-known libraries: lifelines in an environment of its own, and statsmodels.

Belongs here: calling them. What runs in the environment of lifelines is `lifelines_session.py`. lifelines'
`AalenJohansenFitter` is no reference: it jitters ties, and drops ends on day 0.
"""

from __future__ import annotations

import json
import subprocess
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from lms_pipeline_tests.support import lifelines_session
from lms_pipeline_tests.support.expected_curves import CENSORED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lms_pipeline_tests.support.expected_curves import Ends

PYTHON = Path(__file__).parents[2] / ".venv-lifelines" / "bin" / "python"

needs_lifelines = pytest.mark.skipif(not PYTHON.exists(), reason="no Python with lifelines: `make lifelines` makes one")


class Survival(NamedTuple):
    """The share of the open on each day, with its band; NaN where there is none."""

    day: NDArray[np.float64]
    share: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


class Incidence(NamedTuple):
    """The shares of the completed and of those who left on each day, with their standard errors."""

    day: NDArray[np.float64]
    share: list[NDArray[np.float64]]
    error: list[NDArray[np.float64]]
    """NaN where all who are at risk end."""


def fit_kaplan_meier(curves: Sequence[Ends]) -> list[Survival]:
    """Return the estimates of lifelines' `KaplanMeierFitter`."""
    texts = [{"time": ends.time.tolist(), "ended": (ends.kind != CENSORED).astype(int).tolist()} for ends in curves]
    done = subprocess.run(
        [PYTHON, lifelines_session.__file__],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return [
        Survival(*(np.array(found[name], dtype=float) for name in Survival._fields))
        for found in json.loads(done.stdout)
    ]


def fit_incidence(ends: Ends) -> Incidence:
    """Return the estimates of statsmodels' `CumIncidenceRight`, which has none of a kind of end that never happens."""
    from statsmodels.duration.survfunc import CumIncidenceRight

    with warnings.catch_warnings(), np.errstate(all="ignore"):  # it divides by zero where all who are at risk end
        fitted = CumIncidenceRight(ends.time, ends.kind)
    nothing = [np.zeros(len(fitted.times))] * 2
    return Incidence(fitted.times, [*fitted.cinc, *nothing][:2], [*fitted.cinc_se, *nothing][:2])
