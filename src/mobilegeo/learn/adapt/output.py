"""The files of an adapted encoder: the model, its calibration and the record of the run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mobilegeo.locate.calibration import FORMAT_VERSION, SUFFIX, Calibration
from mobilegeo.output.atomic import write_atomically

RECORD_SUFFIX = ".adapted.json"


def write_encoder(out: Path, model: Path, calibration: Calibration | None, model_id: str) -> str:
    """Writes a model file and what is known of its confidence; each file is whole or absent.

    A calibration that lies there from an earlier run goes first, as it belongs to another model.

    Args:
        out: the `.onnx` file.
        model: the finished file, copied.
        calibration: constants that hold for its features; `None` where there are none.
        model_id: its name.

    Returns:
        The model's sha256, hexadecimal.
    """
    content = model.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    beside = out.with_suffix(SUFFIX)
    beside.unlink(missing_ok=True)
    write_atomically(out, content)
    if calibration is None:
        return sha256
    record = {
        "format_version": FORMAT_VERSION,
        "encoder": model_id,
        "encoder_sha256": sha256,
        "aligned": asdict(calibration.aligned),
        "retrieved": asdict(calibration.retrieved),
    }
    write_atomically(beside, (json.dumps(record, indent=2) + "\n").encode())
    return sha256


def write_record(out: Path, record: dict[str, Any]) -> None:
    """Writes what a run did beside its encoder."""
    write_atomically(out.with_suffix(RECORD_SUFFIX), (json.dumps(record, indent=2) + "\n").encode())
