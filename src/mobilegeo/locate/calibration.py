"""Constants that turn evidence into probabilities and metres, shipped beside each encoder.

How high a cosine is at the right place depends on the network, so the constants belong to one
model file: `NAME.calibration.json` beside `NAME.onnx`, bound to it by its hash and written by
`benchmarks/calibrate.py`. A model without that file is used with `NEUTRAL` constants, which leave
the height of the peak out, and its answers say so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from mobilegeo.encoder.base import Encoder, origin
from mobilegeo.encoder.registry import DEFAULT, MADE_FROM, SHIPPED
from mobilegeo.errors import EncoderError

FORMAT_VERSION = 1
SUFFIX = ".calibration.json"


@dataclass(frozen=True, slots=True)
class AlignedCalibration:
    """Constants for answers after alignment.

    Attributes:
        bias, peak, margin, agreement: of the logistic regression.
        accept: fixes below this probability are withheld.
        spread: factor on the standard deviation that noise explains.
        floor_m: standard deviation that remains for a perfect peak, metres along each axis.
        heading_spread, heading_floor_deg: the same for the heading.
    """

    bias: float
    peak: float
    margin: float
    agreement: float
    accept: float
    spread: float
    floor_m: float
    heading_spread: float
    heading_floor_deg: float


@dataclass(frozen=True, slots=True)
class RetrievedCalibration:
    """Constants for answers from tiles alone.

    Attributes:
        bias, score, lead: of the logistic regression on the best score and its lead.
        accept: fixes below this probability are withheld.
        sharpness: weights of neighbouring tiles are exp(sharpness · score).
        spread: standard deviation along each axis as a share of the footprint.
    """

    bias: float
    score: float
    lead: float
    accept: float
    sharpness: float
    spread: float


_C = TypeVar("_C", AlignedCalibration, RetrievedCalibration)


@dataclass(frozen=True, slots=True)
class Calibration:
    """All constants of one encoder.

    Attributes:
        encoder_sha256: the encoder they were fitted with; empty for `NEUTRAL`.
        aligned: for answers after alignment.
        retrieved: for answers from tiles alone.
    """

    encoder_sha256: str
    aligned: AlignedCalibration
    retrieved: RetrievedCalibration

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the user should know of these constants."""
        if self.encoder_sha256:
            return ()
        return ("confidence and sigma are not calibrated for this encoder",)


NEUTRAL = Calibration(
    encoder_sha256="",
    aligned=AlignedCalibration(
        bias=-7.8,
        peak=0.0,
        margin=6.0,
        agreement=12.0,
        accept=0.5,
        spread=1.5,
        floor_m=2.0,
        heading_spread=1.5,
        heading_floor_deg=1.5,
    ),
    retrieved=RetrievedCalibration(
        bias=-9.2, score=13.3, lead=18.5, accept=0.05, sharpness=8.0, spread=0.1
    ),
)


def calibration_for(encoder: Encoder) -> Calibration:
    """The constants fitted with an encoder; `NEUTRAL` where there are none.

    Looked for among the shipped encoders', then beside the encoder's own file. Where an encoder of
    reduced precision has none, those of the shipped one that it was made from hold: how little
    scores change is in docs/results/precision.md.

    Raises:
        EncoderError: the file beside the encoder is damaged or belongs to another one.
    """
    ours = {found.encoder_sha256: found for found in map(shipped, SHIPPED.keys() - MADE_FROM)}
    if encoder.sha256 in ours:
        return ours[encoder.sha256]
    path = getattr(encoder, "path", None)
    beside = None if path is None else Path(path).with_suffix(SUFFIX)
    if beside is None or not beside.is_file():
        return ours.get(origin(encoder.sha256, encoder.spec), NEUTRAL)
    found = parse(beside.read_text(encoding="utf-8"), str(beside))
    if found.encoder_sha256 != encoder.sha256:
        raise EncoderError(
            beside,
            "was fitted with another model file",
            "run benchmarks/calibrate.py for this one, or remove the file",
        )
    return found


def shipped(name: str = DEFAULT) -> Calibration:
    """The constants of an encoder that ships, by name."""
    file = files("mobilegeo.encoder") / "weights" / f"{MADE_FROM.get(name, name)}{SUFFIX}"
    return parse(file.read_text(encoding="utf-8"), file.name)


def parse(text: str, where: str) -> Calibration:
    """Reads a calibration file's text.

    Raises:
        EncoderError: it is no calibration of this format; `where` names the file.
    """
    try:
        record: dict[str, Any] = json.loads(text)
        version = record["format_version"]
        found = Calibration(
            encoder_sha256=str(record["encoder_sha256"]),
            aligned=_numbers(AlignedCalibration, record["aligned"]),
            retrieved=_numbers(RetrievedCalibration, record["retrieved"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EncoderError(
            where, f"holds no readable calibration ({error})", "write it with calibrate.py again"
        ) from error
    if version != FORMAT_VERSION:
        raise EncoderError(
            where,
            f"has calibration format {version}, this version reads {FORMAT_VERSION}",
            "write it with calibrate.py again or update mobilegeo",
        )
    return found


def _numbers(kind: type[_C], record: dict[str, Any]) -> _C:
    """A dataclass of numbers from a JSON object that may hold more."""
    return kind(**{field.name: float(record[field.name]) for field in fields(kind)})
