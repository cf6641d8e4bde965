"""What an encoder of reduced precision says of itself."""

from __future__ import annotations

from dataclasses import replace

from mobilegeo.encoder.base import FLOAT32, Encoder, ImageSpec
from mobilegeo.errors import EncoderError


def derived_spec(encoder: Encoder, precision: str) -> ImageSpec:
    """The facts of a file in another precision, made from a float32 encoder.

    Raises:
        EncoderError: the encoder is itself derived.
    """
    spec = encoder.spec
    if spec.precision != FLOAT32:
        raise EncoderError(
            spec.model_id,
            f"is already of precision {spec.precision}",
            "give the float32 encoder that it was made from",
        )
    return replace(
        spec,
        model_id=f"{spec.model_id}-{precision}",
        precision=precision,
        derived_from=encoder.sha256,
    )
