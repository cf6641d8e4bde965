"""What travels through `locate`, besides the photo and the fix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import UsageError
from mobilegeo.fix import Fix
from mobilegeo.locate.align import Alignment
from mobilegeo.locate.calibration import Calibration
from mobilegeo.locate.hypotheses import Hypotheses
from mobilegeo.locate.local_features import Verification
from mobilegeo.locate.prior import Prior
from mobilegeo.locate.retrieve import Match, Query
from mobilegeo.photo import Photo


@dataclass(frozen=True)
class Options:
    """How to locate.

    Attributes:
        top: how many candidates to report.
        retrieval_only: stop after retrieval, as the paper does.
        ignore_gps: do not use the photo's own GPS position, not even as a prior.
        prior: where the camera can be; overrides what the photo says of it.
        verify: let local features have a second look at aligned places; needs a pack with imagery.

    Raises:
        UsageError: there is nothing to verify after retrieval alone.
    """

    top: int = 5
    retrieval_only: bool = False
    ignore_gps: bool = False
    prior: Prior | None = None
    verify: bool = False

    def __post_init__(self) -> None:
        if self.verify and self.retrieval_only:
            raise UsageError(
                "--verify",
                "has no aligned place to verify with --retrieval-only",
                "leave one of them out",
            )


@dataclass(frozen=True)
class Reading:
    """A photo that is ready to be located.

    Attributes:
        photo: decoded as finely as locating it needs.
        seconds: what reading took.
    """

    photo: Photo
    seconds: float = 0.0


@dataclass(frozen=True)
class Trace:
    """An answer and what it rests on, for reports.

    Attributes:
        fix: the answer.
        photo: the photo as decoded.
        query: the normalised photo that was embedded for the best tile.
        matches: the best tiles.
        alignment: outcome of the alignment.
        verification: what local features say of it, where they were asked.
    """

    fix: Fix
    photo: Photo | None = None
    query: Query | None = None
    matches: tuple[Match, ...] = ()
    alignment: Alignment | None = None
    verification: Verification | None = None


@dataclass(frozen=True)
class Prepared:
    """A photo, normalised and embedded.

    Attributes:
        photo: the photo.
        known: the hypotheses that show ground.
        prior: where its camera can be; anywhere when `None`.
        queries: the normalised photo under each hypothesis.
        embeddings: float32 [Q, D], of the queries.
        calibration: of the encoder that will locate it.
        remarks: what the answer has to say of calibration and search.
    """

    photo: Photo
    known: Hypotheses
    prior: Prior | None
    queries: tuple[Query, ...]
    embeddings: NDArray[np.float32]
    calibration: Calibration
    remarks: tuple[str, ...]
