"""The constants beside an encoder: found by its hash, refused when damaged, neutral when absent."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from types import SimpleNamespace

import pytest

from locate_kit import BlockEncoder
from mobilegeo.encoder import SHIPPED, load_encoder
from mobilegeo.encoder.registry import DEFAULT
from mobilegeo.errors import EncoderError
from mobilegeo.locate.calibration import NEUTRAL, SUFFIX, calibration_for, parse, shipped

WEIGHTS = files("mobilegeo.encoder") / "weights"


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_encoder_has_its_constants(name):
    found = calibration_for(load_encoder(name, threads=1))
    assert found == shipped(name)
    assert found.remarks == ()
    assert 0.0 < found.aligned.accept < 1.0
    assert 0.0 < found.retrieved.accept < 1.0
    assert min(found.aligned.peak, found.aligned.margin, found.aligned.agreement) >= 0.0


def test_an_unknown_encoder_is_neutral_and_says_so():
    found = calibration_for(BlockEncoder())
    assert found is NEUTRAL
    assert found.remarks == ("confidence and sigma are not calibrated for this encoder",)
    # How high a cosine is depends on the network.
    assert found.aligned.peak == 0.0


def a_record(**changes):
    record = json.loads((WEIGHTS / f"{DEFAULT}{SUFFIX}").read_text())
    return record | changes


def test_constants_lie_beside_a_user_s_own_model(tmp_path):
    shutil.copy(str(WEIGHTS / SHIPPED[DEFAULT]), tmp_path / "mine.onnx")
    encoder = SimpleNamespace(
        sha256="ab" * 32, path=tmp_path / "mine.onnx", spec=BlockEncoder().spec
    )
    assert calibration_for(encoder) is NEUTRAL
    beside = tmp_path / "mine.calibration.json"
    record = a_record(encoder_sha256="ab" * 32)
    record["aligned"]["floor_m"] = 7.5
    beside.write_text(json.dumps(record))
    assert calibration_for(encoder).aligned.floor_m == 7.5
    beside.write_text(json.dumps(a_record(encoder_sha256="cd" * 32)))
    with pytest.raises(EncoderError, match=r"mine.calibration.json: was fitted with another model"):
        calibration_for(encoder)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "holds no readable calibration"),
        ("[1, 2]", "holds no readable calibration"),
        ("{}", "holds no readable calibration"),
        (json.dumps(a_record(aligned={"bias": 1})), "holds no readable calibration"),
        (json.dumps(a_record(aligned=None)), "holds no readable calibration"),
        (
            json.dumps(a_record(retrieved=a_record()["retrieved"] | {"bias": "high"})),
            "holds no readable calibration",
        ),
        (json.dumps(a_record(format_version=2)), "has calibration format 2, this version reads 1"),
    ],
)
def test_a_damaged_file_is_refused(text, match):
    with pytest.raises(EncoderError, match=f"there.json: {match}"):
        parse(text, "there.json")


def test_what_a_file_says_besides_is_left_aside():
    record = a_record(fitted="2026-11-20")
    record["aligned"]["more"] = 1.0
    assert parse(json.dumps(record), "x") == shipped()
