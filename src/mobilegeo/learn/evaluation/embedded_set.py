"""What is evaluated: embeddings of one side, with the places they show and where these lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import UsageError

Positions = NDArray[np.float64]


@dataclass(frozen=True)
class EmbeddedSet:
    """The queries, or the gallery.

    Attributes:
        embeddings: floating [N, D], L2-normalised.
        labels: integer [N], the place each image shows; −1 in a gallery is junk. None where the
            protocol takes lists of right answers instead.
        positions: float64 [N, 2], in the protocol's units; None where it measures no distances.
        unreadable: bool [N], images that could not be read, whose embeddings mean nothing; None
            where all could.
    """

    embeddings: NDArray[np.floating]
    labels: NDArray[np.int64] | None = None
    positions: Positions | None = None
    unreadable: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        for name in ("labels", "positions", "unreadable"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.embeddings):
                raise UsageError(
                    name,
                    f"number {len(values)} for {len(self.embeddings)} embeddings",
                    "give one an image",
                )

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Images that have an embedding, bool [N]."""
        if self.unreadable is None:
            return np.ones(len(self.embeddings), dtype=np.bool_)
        return ~self.unreadable
