"""Simulated flights: the path, its wind and faults, and the files."""

from __future__ import annotations

import csv
import math
from itertools import pairwise

import numpy as np
import pytest

from mobilegeo.errors import UsageError
from mobilegeo.geo import LatLon, distance_m, wrap_deg
from mobilegeo.photo import read_photo
from mobilegeo.world.flight import FAULTS, Biases, FlightPlan, fly, path_length_m
from mobilegeo.world.flight_files import HFOV_DEG, write_flight

SIZE_M = (900.0, 700.0)


def flown(seed=1, **changes):
    plan = FlightPlan(**({"length_m": 3000.0} | changes))
    return plan, fly(plan, SIZE_M, np.random.default_rng(seed))


def test_length_and_rate() -> None:
    _, moments = flown()
    assert path_length_m(moments) == pytest.approx(3000.0, rel=0.02)
    np.testing.assert_allclose(np.diff([m.time_s for m in moments]), 1.0)
    _, often = flown(rate_hz=5.0)
    np.testing.assert_allclose(np.diff([m.time_s for m in often]), 0.2)


def test_the_same_seed_gives_the_same_flight() -> None:
    assert flown(seed=3)[1] == flown(seed=3)[1]
    assert flown(seed=3)[1] != flown(seed=4)[1]


def test_the_drone_stays_over_the_area_and_crabs_into_the_wind() -> None:
    _, moments = flown(wind_m_s=(0.0, 4.0))
    xy = np.array([(m.x_m, m.y_m) for m in moments])
    assert (xy > 80.0).all()
    assert (xy < np.array(SIZE_M) - 80.0).all()
    step = np.diff(xy, axis=0)
    course = np.degrees(np.arctan2(step[:, 0], step[:, 1]))
    # Flying east in a wind from the south, the nose points to the south of the course.
    drift = [
        wrap_deg(m.heading_deg - c)
        for m, c in zip(moments, course, strict=False)
        if abs(wrap_deg(c - 90.0)) < 10.0
    ]
    assert np.median(drift) == pytest.approx(math.degrees(math.asin(0.4)), abs=4.0)


def test_faults_and_blackouts() -> None:
    _, moments = flown(bad_share=0.2, blackouts_s=((100.0, 120.0),))
    dark = [m.time_s for m in moments if m.fault == "blank"]
    assert (min(dark), max(dark), len(dark)) == (100.0, 119.0, 20)
    bad = [m.fault for m in moments if m.fault in FAULTS]
    assert set(bad) == set(FAULTS)
    assert 0.1 < len(bad) / len(moments) < 0.3


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"wind_m_s": (9.0, 9.0)}, "is too strong"),
        ({"rate_hz": 0.0}, "cannot be meant"),
        ({"rate_hz": 50.0}, "cannot be meant"),
        ({"rate_hz": 4.0}, "cannot be meant"),
        ({"bad_share": 1.5}, "cannot be meant"),
    ],
)
def test_plans_that_cannot_be_meant(changes, problem) -> None:
    with pytest.raises(UsageError, match=problem):
        FlightPlan(**changes)


def test_files_tell_the_biased_telemetry_and_the_truth(tmp_path) -> None:
    plan = FlightPlan(
        length_m=60.0,
        blackouts_s=((2.0, 3.0),),
        biases=Biases(heading_deg=4.0, pitch_deg=2.0, roll_deg=-1.0, height=1.1),
    )
    files = write_flight(tmp_path, plan, seed=2, size_m=(520.0, 420.0), photo_px=(120, 90))
    with files.truth_csv.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == len(files.photos) == len(files.moments) >= 4
    photos = [read_photo(path) for path in files.photos]
    assert photos[2].image.max() < 40
    assert photos[1].image.std() > 10
    for photo, row in zip(photos, rows, strict=True):
        told = photo.telemetry
        assert wrap_deg(told.heading_deg - float(row["heading_deg"])) == pytest.approx(4.0, abs=4)
        assert told.agl_m / float(row["agl_m"]) == pytest.approx(1.1, abs=0.01)
        assert told.pitch_deg == pytest.approx(-78.0, abs=4.0)
        assert told.hfov_deg == pytest.approx(HFOV_DEG, abs=1.0)
        true = LatLon(float(row["lat"]), float(row["lon"]))
        assert distance_m(photo.gps, true) < 15.0
    seconds = [(b.time - a.time).total_seconds() for a, b in pairwise(photos)]
    assert seconds == [1.0] * len(seconds)
