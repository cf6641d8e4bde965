"""The encoder that is adapted: a shipped one by name, or a training checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mobilegeo.encoder import SHIPPED
from mobilegeo.encoder.base import ImageSpec
from mobilegeo.errors import ResourceError
from mobilegeo.learn.export.network import read_checkpoint
from mobilegeo.learn.export.source import model_file
from mobilegeo.learn.models.place_encoder import PlaceEncoder
from mobilegeo.locate.calibration import Calibration, shipped

WEIGHTS_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Origin:
    """Where adapting starts.

    Attributes:
        model: the network, in evaluation mode.
        spec: its facts.
        exported: the file that ships; `None` for a checkpoint.
        calibration: of that file; `None` for a checkpoint.
    """

    model: PlaceEncoder
    spec: ImageSpec
    exported: Path | None
    calibration: Calibration | None


def open_origin(encoder: str) -> Origin:
    """Opens the network behind a name or path.

    Args:
        encoder: the name of a shipped encoder, whose weights for training lie beside its file as
            `NAME.safetensors`; or the path of a checkpoint of a layout head.

    Raises:
        ResourceError: the weights are missing or damaged, or have no head that could be adapted.
    """
    is_shipped = encoder in SHIPPED
    exported = model_file(encoder) if is_shipped else None
    path = Path(encoder) if exported is None else exported.with_suffix(WEIGHTS_SUFFIX)
    if exported is not None and not path.is_file():
        raise ResourceError(
            encoder,
            "ships without the weights that training starts from",
            "choose another encoder, or give a checkpoint of `mobilegeo learn train`",
        )
    model, spec = read_checkpoint(path)
    if not isinstance(model, PlaceEncoder):
        raise ResourceError(
            path,
            "has no place head on a frozen trunk, which is what adapting trains",
            "give the checkpoint of a layout head, or the name of a shipped encoder",
        )
    return Origin(model, spec, exported, shipped(encoder) if is_shipped else None)
