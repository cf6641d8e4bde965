"""How good fixes are: measured against the true positions of the photos."""

from __future__ import annotations

from mobilegeo.evaluation.matching import Matching, match_photos
from mobilegeo.evaluation.metrics import Evaluation, Within, evaluate
from mobilegeo.evaluation.truth import Truth, read_truth_csv

__all__ = [
    "Evaluation",
    "Matching",
    "Truth",
    "Within",
    "evaluate",
    "match_photos",
    "read_truth_csv",
]
