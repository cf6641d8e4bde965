"""Constant errors of the telemetry, learnt from frames that were found."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from mobilegeo.metadata.telemetry import Telemetry
from mobilegeo.track.bias import (
    STALE_HEADING_MISSES,
    STALE_HEADING_S,
    STALE_LENS_MISSES,
    Constant,
    TelemetryBias,
)

LENS = Telemetry(hfov_deg=70.0)


def seen(heading=0.0, agl=100.0, hfov=70.0):
    return Telemetry(heading_deg=heading, agl_m=agl, hfov_deg=hfov)


def test_a_constant_is_the_mean_of_its_readings() -> None:
    constant = Constant(0.0, sigma=100.0, noise=2.0, drift=0.0)
    readings = np.random.default_rng(0).normal(5.0, 2.0, 50)
    for reading in readings:
        constant.read(reading - constant.value, 1.0)
    assert constant.value == pytest.approx(readings.mean(), abs=0.01)
    assert constant.sigma == pytest.approx(2.0 / math.sqrt(50), rel=0.01)


def test_outliers_are_left_out_once_something_is_known() -> None:
    constant = Constant(0.0, sigma=8.0, noise=2.0, drift=0.0)
    for _ in range(10):
        constant.read(3.0 - constant.value, 1.0)
    before = constant.value
    constant.read(60.0, 1.0)
    assert constant.value == before
    assert constant.readings == 10


def test_a_value_that_has_truly_changed_is_followed_in_the_end() -> None:
    constant = Constant(0.0, sigma=8.0, noise=2.0, drift=0.1)
    for _ in range(100):
        constant.read(3.0 - constant.value, 1.0)
    before = constant.value
    for _ in range(60):
        constant.read(18.0 - constant.value, 1.0)
    assert constant.value == before
    for _ in range(1500):
        constant.read(18.0 - constant.value, 1.0)
    assert constant.value == pytest.approx(18.0, abs=0.5)


@pytest.mark.parametrize(("seen_m", "told_m"), [(80.0, 0.5), (120.0, 20_000.0)])
def test_a_corrected_height_stays_one_that_can_be_meant(seen_m, told_m) -> None:
    """At take-off the height is the lowest there is, and a tenth less would be refused."""
    bias = TelemetryBias()
    for n in range(20):
        bias.found(replace(LENS, agl_m=100.0), float(n), seen(agl=seen_m))
    assert bias.corrected(replace(LENS, agl_m=told_m), 20.0).agl_m == told_m


def test_heading_and_height_are_learnt_and_corrected() -> None:
    bias = TelemetryBias()
    for n in range(40):
        told = Telemetry(heading_deg=178.0, agl_m=110.0, hfov_deg=70.0)
        bias.found(told, float(n), seen(heading=-178.0, agl=100.0))
    assert bias.heading_deg.value == pytest.approx(4.0, abs=0.1)
    corrected = bias.corrected(Telemetry(heading_deg=178.0, agl_m=220.0, hfov_deg=70.0), 50.0)
    assert corrected.heading_deg == pytest.approx(-178.0, abs=0.1)
    assert corrected.agl_m == pytest.approx(200.0, rel=0.01)


def test_what_was_found_stands_in_for_what_is_unknown() -> None:
    bias = TelemetryBias()
    assert bias.corrected(Telemetry(), 0.0) == Telemetry()
    bias.found(Telemetry(), 0.0, seen(30.0, 90.0, 65.0))
    assert bias.corrected(Telemetry(), 1.0) == seen(30.0, 90.0, 65.0)
    assert bias.corrected(LENS, 1.0).hfov_deg == 70.0
    assert bias.corrected(Telemetry(), 1.0 + STALE_HEADING_S).heading_deg is None
    assert bias.heading_deg.readings == bias.log_scale.readings == 0


def test_misses_make_it_doubtful() -> None:
    bias = TelemetryBias()
    bias.found(Telemetry(), 0.0, seen(30.0, 90.0))
    for _ in range(STALE_HEADING_MISSES):
        bias.missed()
    assert bias.corrected(Telemetry(), 0.5) == Telemetry(agl_m=90.0, hfov_deg=70.0)
    for _ in range(STALE_LENS_MISSES):
        bias.missed()
    assert bias.corrected(Telemetry(), 0.5) == Telemetry()
    bias.found(Telemetry(), 1.0, seen(31.0, 91.0))
    assert bias.corrected(Telemetry(), 1.5) == seen(31.0, 91.0)


def test_position_and_the_rest_pass_unchanged() -> None:
    told = Telemetry(pitch_deg=-80.0, roll_deg=1.0, lat=1.0, lon=2.0, sigma_m=3.0)
    assert TelemetryBias().corrected(told, 0.0) == told
