"""From an alignment to peaks."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from locate_kit import a_view
from mobilegeo.fix import Fix
from mobilegeo.locate.prior import Box
from mobilegeo.locate.records import Trace
from mobilegeo.locate.scan import Heatmap, Mode
from mobilegeo.track.sighting import RIVALS_BELIEF, WORST_FACTOR, sighting_of

BOX = Box(-200.0, -100.0, 200.0, 100.0)
CELL_M = 8.0


SPREAD = {"sigma_east_m": 2.0, "sigma_north_m": 2.0, "correlation_east_north": 0.0}


def traced(view, best=(40.0, -20.0), others=(), *, confidence=0.9, status="fix", details=SPREAD):
    """A trace whose heatmap peaks at `best` and, as high as told, at other places (x, y, score)."""
    scores = np.full((26, 51), 0.05, np.float32)
    scores[0, 0] = -1.0
    for x, y, score in [(*best, 0.5), *others]:
        scores[round((BOX.north - y) / CELL_M), round((x - BOX.west) / CELL_M)] = score
    alignment = SimpleNamespace(best=Mode(*best, 0.5, 5.0, view), heatmap=Heatmap(scores, BOX))
    fix = Fix("a.jpg", status, confidence=confidence, details=details)
    return Trace(fix, alignment=alignment)


def test_no_alignment_is_no_evidence() -> None:
    assert sighting_of(Trace(Fix("a.jpg", "no_fix")), 0.0) is None


def test_the_camera_stands_off_the_ground_it_sees() -> None:
    view = a_view(pitch_deg=-60.0, heading_deg=90.0)
    sighting = sighting_of(traced(view), 2.0)
    (peak,) = sighting.peaks
    back_m = 100.0 / math.tan(math.radians(60.0))
    np.testing.assert_allclose(peak.measurement.place, [40.0 - back_m, -20.0], atol=1e-6)
    assert peak.probability == 0.9
    assert sighting.seen.heading_deg == pytest.approx(92.0)
    assert sighting.seen.agl_m == 100.0


def test_tilt_tells_how_the_view_moves() -> None:
    nadir = sighting_of(traced(a_view(heading_deg=0.0)), 0.0).peaks[0].measurement.tilt
    metre = 100.0 * math.tan(math.radians(1.0))
    # A degree up moves the view ahead (north), one to the right moves it east.
    np.testing.assert_allclose(nadir, [[0.0, metre], [metre, 0.0]], atol=1e-3)
    slant = sighting_of(traced(a_view(pitch_deg=-45.0)), 0.0).peaks[0].measurement.tilt
    assert slant[1, 0] == pytest.approx(100.0 * (math.tan(math.radians(46.0)) - 1.0), rel=1e-6)
    assert slant[0, 1] == pytest.approx(100.0 * math.sqrt(2) * math.radians(1.0))


def test_spread_is_the_localizers_and_wider_where_it_doubts() -> None:
    told = {"sigma_east_m": 3.0, "sigma_north_m": 2.0, "correlation_east_north": 0.5}
    sure = sighting_of(traced(a_view(), details=told), 0.0).peaks[0].measurement
    doubtful = (
        sighting_of(traced(a_view(), status="no_fix", details=told), 0.0).peaks[0].measurement
    )
    jitter = sure.covariance - [[9.0, 3.0], [3.0, 4.0]]
    np.testing.assert_allclose(jitter, jitter[0, 0] * np.eye(2), atol=1e-3)
    assert 0.3 < jitter[0, 0] < 1.0
    np.testing.assert_allclose(
        doubtful.covariance - jitter, WORST_FACTOR**2 * (sure.covariance - jitter)
    )


def test_rivals_come_from_the_heatmap() -> None:
    others = [(-120.0, 36.0, 0.45), (120.0, 84.0, 0.40), (48.0, -12.0, 0.49), (0.0, 60.0, 0.2)]
    peaks = sighting_of(traced(a_view(), others=others, confidence=0.6), 0.0).peaks
    places = [tuple(np.round(p.measurement.place)) for p in peaks]
    # The neighbour of the best belongs to it; the lowest is not worth following.
    assert places == [(40.0, -20.0), (-120.0, 36.0), (120.0, 84.0)]
    assert peaks[1].probability > peaks[2].probability
    assert sum(p.probability for p in peaks[1:]) == pytest.approx(RIVALS_BELIEF * 0.4)
    assert sum(p.probability for p in peaks) < 1.0


def test_certainty_is_capped() -> None:
    assert sighting_of(traced(a_view(), confidence=1.0), 0.0).peaks[0].probability < 1.0
