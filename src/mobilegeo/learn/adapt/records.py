"""What is asked of adapting, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mobilegeo.encoder.registry import DEFAULT
from mobilegeo.learn.adapt.ground import MapFacts
from mobilegeo.learn.adapt.training import Fit
from mobilegeo.learn.export.recall import RecallChange


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be adapted to what.

    Attributes:
        maps: as for `open_map`.
        out: the `.onnx` file to write.
        dsm: a raster of heights of the map's surface.
        encoder: name or checkpoint, see `open_origin`.
        seed: of the held-out part, the views and the training.
    """

    maps: Sequence[Path]
    out: Path
    dsm: Path | None = None
    encoder: str = DEFAULT
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Adapted:
    """What was made of it.

    Attributes:
        path: the encoder file.
        sha256: of the file, hexadecimal.
        origin: name of the encoder that was adapted.
        model_id: of the encoder in the file: the origin's where adapting gained nothing.
        recall: on simulated views of held-out ground, with the original and the adapted head.
        views: simulated pairs that were trained on.
        fit: what training did.
        share: how far the judged head lies from the original to the trained one, 0 … 1.
        map: how the map was used.
        seconds: all of it.
    """

    path: Path
    sha256: str
    origin: str
    model_id: str
    recall: RecallChange
    views: int
    fit: Fit
    share: float
    map: MapFacts
    seconds: float

    @property
    def kept(self) -> str:
        """Whose head the file has: `adapted` or `original`."""
        return "original" if self.model_id == self.origin else "adapted"

    def to_record(self) -> dict[str, Any]:
        """One JSON object."""
        return asdict(self) | {"path": str(self.path), "kept": self.kept}

    def summary(self) -> str:
        """Lines for a terminal."""
        recall, facts = self.recall, self.map
        why = "" if self.kept == "adapted" else ", as it was: adapting gained nothing that is sure"
        return (
            f"map: {facts.blocks} blocks at {facts.gsd_m:.2f} m a pixel, {facts.held_out} of them "
            f"held out, {facts.with_heights} with heights\n"
            f"training: {self.views} simulated pairs, {self.fit.steps} steps, loss "
            f"{self.fit.first_loss:.2f} to {self.fit.last_loss:.2f}; "
            f"{100 * self.share:.0f} % of the way is best\n"
            f"recall@1 of {recall.queries} simulated photos of held-out ground: "
            f"{100 * recall.before:.1f} % before, {100 * recall.after:.1f} % after, gain "
            f"{-100 * recall.drop:.1f} ± {100 * recall.standard_error:.1f} points\n"
            f"{self.path}: {self.model_id}{why}; {self.seconds:.0f} s"
        )
