"""From a photo to a fix, on a small pack built from a GeoTIFF."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from locate_kit import (
    CELL_M,
    BlockEncoder,
    Ground,
    a_view,
    build_ground_pack,
    photo_record,
    place,
)
from mobilegeo.errors import PackError, PhotoError
from mobilegeo.geo import LatLon, distance_m
from mobilegeo.locate import localizer as localizer_module
from mobilegeo.locate.calibration import NEUTRAL
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.prior import BoxPrior, CirclePrior
from mobilegeo.locate.records import Options
from mobilegeo.locate.stopwatch import STAGES

X_M, Y_M = 37.3, -41.9
"""Where the camera is in most tests."""


@pytest.fixture(scope="module")
def ground():
    return Ground(side_m=400.0, seed=11)


@pytest.fixture(scope="module")
def pack(ground, tmp_path_factory):
    return build_ground_pack(tmp_path_factory.mktemp("locate"), ground)


def locate(pack, photo, prior=None, **options):
    return Localizer(pack, BlockEncoder(), Options(**options)).locate(photo, prior=prior)


def error_m(fix, x_m=X_M, y_m=Y_M):
    return distance_m(LatLon(fix.lat, fix.lon), place(x_m, y_m))


def camera_error_m(fix, x_m=X_M, y_m=Y_M):
    return distance_m(LatLon(fix.camera_lat, fix.camera_lon), place(x_m, y_m))


@pytest.mark.parametrize("heading_deg", [0.0, 217.0])
def test_a_photo_of_known_pose_is_placed_within_a_cell(pack, ground, heading_deg):
    view = a_view(heading_deg=heading_deg)
    fix = locate(pack, photo_record(ground.photo(view, X_M, Y_M), view))
    assert (fix.status, fix.method, fix.photo) == ("fix", "aligned", "photo.jpg")
    assert error_m(fix) < 0.5 * CELL_M
    assert camera_error_m(fix) < 0.5 * CELL_M
    assert fix.confidence > 0.9
    assert 0 < fix.sigma_m < 10
    assert fix.heading_deg == pytest.approx(heading_deg, abs=2.0) or heading_deg == 0.0
    assert math.cos(math.radians(fix.heading_deg - heading_deg)) > 0.999
    assert fix.reason == "; ".join(NEUTRAL.remarks)


def test_an_oblique_photo_gives_the_ground_at_its_centre_and_the_camera(pack, ground):
    view = a_view(heading_deg=120.0, pitch_deg=-60.0, roll_deg=6.0)
    fix = locate(pack, photo_record(ground.photo(view, X_M, Y_M), view))
    ahead = 100.0 / math.tan(math.radians(60))
    bearing = math.radians(120.0)
    centre = (X_M + ahead * math.sin(bearing), Y_M + ahead * math.cos(bearing))
    assert error_m(fix, *centre) < 0.5 * CELL_M
    assert camera_error_m(fix) < CELL_M
    assert distance_m(LatLon(fix.lat, fix.lon), place(X_M, Y_M)) > 50


def test_an_unknown_heading_is_found_and_told(pack, ground):
    view = a_view(heading_deg=163.0)
    fix = locate(pack, photo_record(ground.photo(view, X_M, Y_M), view, heading_deg=None))
    assert fix.status == "fix"
    assert error_m(fix) < CELL_M
    assert fix.heading_deg == pytest.approx(163.0, abs=3.0)
    assert "heading unknown: 24 tried" in fix.reason


def test_an_unknown_height_is_found(pack, ground):
    view = a_view(heading_deg=30.0)
    fix = locate(pack, photo_record(ground.photo(view, X_M, Y_M), view, agl_m=None))
    assert error_m(fix) < CELL_M
    assert fix.details["agl_m"] == pytest.approx(100.0, rel=0.05)
    assert "height unknown" in fix.reason


def test_an_unknown_pitch_gives_no_place_of_the_camera(pack, ground):
    view = a_view()
    fix = locate(pack, photo_record(ground.photo(view, X_M, Y_M), view, pitch_deg=None))
    assert error_m(fix) < CELL_M
    assert fix.camera_lat is None
    assert fix.camera_lon is None
    assert "pitch unknown" in fix.reason


def test_a_blank_photo_is_no_fix(pack):
    photo = photo_record(np.full((180, 240, 3), 130, np.uint8), a_view())
    fix = locate(pack, photo)
    assert (fix.status, fix.lat, fix.lon, fix.sigma_m) == ("no_fix", None, None, None)
    assert "blank, dark or blurred" in fix.reason


@pytest.mark.parametrize("pitch_deg", [10.0, 60.0])
def test_a_photo_of_the_sky_is_no_fix(pack, pitch_deg):
    noise = np.random.default_rng(0).integers(0, 256, (180, 240, 3), dtype=np.uint8)
    fix = locate(pack, photo_record(noise, a_view(pitch_deg=pitch_deg, hfov_deg=20.0)))
    assert fix.status == "no_fix"
    assert "shows no ground" in fix.reason


def test_a_photo_with_a_little_ground_under_the_horizon_is_no_fix(pack):
    noise = np.random.default_rng(0).integers(0, 256, (180, 240, 3), dtype=np.uint8)
    fix = locate(pack, photo_record(noise, a_view(pitch_deg=5.6)))
    assert fix.status == "no_fix"
    assert fix.reason == "the view shows too little ground to be recognised"


def test_a_photo_of_another_place_is_no_fix(pack):
    view = a_view()
    photo = Ground(side_m=400.0, seed=999).photo(view)
    fix = locate(pack, photo_record(photo, view))
    assert fix.status == "no_fix"
    assert "nothing on the map matches the photo clearly" in fix.reason
    assert "--heading-deg" not in fix.reason
    assert fix.confidence < 0.5
    unknown = locate(pack, photo_record(photo, view, heading_deg=None))
    assert unknown.status == "no_fix"
    assert unknown.reason.endswith("it would help to know --heading-deg")


def test_a_far_gps_position_names_the_way_out(pack, ground):
    view = a_view()
    image = ground.photo(view, X_M, Y_M)
    photo = photo_record(image, view, gps=place(30_000.0, 0.0))
    fix = locate(pack, photo)
    assert fix.status == "no_fix"
    assert "29.8 km outside the map" in fix.reason
    assert "--ignore-gps" in fix.reason
    ignoring = locate(pack, photo, ignore_gps=True)
    assert ignoring.status == "fix"
    assert error_m(ignoring) < CELL_M


def test_a_large_frame_in_memory_is_reduced_as_a_file_would_be(pack, ground):
    """More pixels than are needed change nothing but the time."""
    view = a_view(heading_deg=40.0)
    fine = ground.photo(view.resized(960, 720), 20.0, -10.0)
    localizer = Localizer(pack, BlockEncoder())
    traced = localizer.trace(photo_record(fine, view))
    assert traced.photo.image.shape == (360, 480, 3)
    averaged = fine.reshape(360, 2, 480, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(traced.photo.image, averaged, atol=0.51)
    whole = localizer.trace(photo_record(ground.photo(view, 20.0, -10.0), view))
    assert traced.alignment.best.x_m == pytest.approx(whole.alignment.best.x_m, abs=0.5)
    assert traced.alignment.best.y_m == pytest.approx(whole.alignment.best.y_m, abs=0.5)


def test_ignoring_gps_keeps_a_position_that_was_given(pack, ground):
    view = a_view()
    image = ground.photo(view, X_M, Y_M)
    far = place(30_000.0, 0.0)
    given = replace(photo_record(image, view, gps=far), gps=place(0.0, 0.0))
    assert locate(pack, given, ignore_gps=True).status == "no_fix"


def test_the_gps_position_is_a_prior(pack, ground):
    """A position with a small spread, and far from the truth, keeps the truth out."""
    view = a_view()
    image = ground.photo(view, X_M, Y_M)
    right = photo_record(image, view, gps=place(X_M + 20, Y_M - 20), sigma_m=15.0)
    assert error_m(locate(pack, right)) < CELL_M
    wrong = photo_record(image, view, gps=place(-120.0, 120.0), sigma_m=15.0)
    assert locate(pack, wrong).status == "no_fix"
    assert error_m(locate(pack, wrong, ignore_gps=True)) < CELL_M


@pytest.mark.parametrize("sigma_m", [0.05, 1.0, 3.0])
def test_a_precise_position_is_no_obstacle(pack, ground, sigma_m):
    view = a_view()
    gps = place(X_M + sigma_m / 2, Y_M)
    photo = photo_record(ground.photo(view, X_M, Y_M), view, gps=gps, sigma_m=sigma_m)
    fix = locate(pack, photo)
    assert fix.status == "fix"
    assert error_m(fix) < CELL_M


def test_a_camera_beside_the_map_that_looks_into_it_is_located(pack, ground):
    view = a_view(pitch_deg=-45.0, heading_deg=90.0)
    photo = photo_record(
        ground.photo(view, -210.0, 0.0), view, gps=place(-210.0, 0.0), sigma_m=10.0
    )
    fix = locate(pack, photo)
    assert fix.status == "fix"
    assert camera_error_m(fix, -210.0, 0.0) < 1.5 * CELL_M


def test_a_camera_far_beside_the_map_that_looks_into_it_is_located(pack, ground):
    view = a_view(pitch_deg=-35.0, heading_deg=90.0, agl_m=150.0, hfov_deg=45.0)
    x_m = -255.0
    photo = photo_record(ground.photo(view, x_m, 0.0), view, gps=place(x_m, 0.0), sigma_m=10.0)
    trusted = locate(pack, photo, ignore_gps=True)
    assert camera_error_m(trusted, x_m, 0.0) < 2 * CELL_M
    assert locate(pack, photo).status == "fix"


def test_priors_given_by_argument_stand_over_options_and_gps(pack, ground):
    view = a_view()
    photo = photo_record(ground.photo(view, X_M, Y_M), view, gps=place(30_000.0, 0.0))
    there, elsewhere = CirclePrior(place(X_M, Y_M), 60.0), CirclePrior(place(-120.0, 120.0), 50.0)
    assert error_m(locate(pack, photo, prior=there)) < CELL_M
    assert locate(pack, photo, prior=elsewhere).status == "no_fix"
    fix = Localizer(pack, BlockEncoder(), Options(prior=elsewhere)).locate(photo, prior=there)
    assert error_m(fix) < CELL_M
    assert error_m(locate(pack, photo, prior=BoxPrior(pack.bounds))) < CELL_M


def test_a_small_prior_without_the_truth_is_no_fix(pack, ground):
    view = a_view()
    photo = photo_record(ground.photo(view, X_M, Y_M), view)
    fix = locate(pack, photo, prior=CirclePrior(place(-60.0, -60.0), 15.0))
    assert fix.details["peak"] < 0.1
    assert fix.status == "no_fix"


def test_a_prior_off_the_map_is_no_fix(pack, ground):
    view = a_view()
    photo = photo_record(ground.photo(view, X_M, Y_M), view)
    fix = locate(pack, photo, prior=CirclePrior(place(5000.0, 0.0), 100.0))
    assert fix.status == "no_fix"
    assert fix.reason == "no tile of the map lies where the photo can have been taken"


def test_retrieval_only_stops_after_the_tiles(pack, ground):
    view = a_view(heading_deg=40.0)
    photo = photo_record(ground.photo(view, X_M, Y_M), view)
    trace = Localizer(pack, BlockEncoder(), Options(retrieval_only=True)).trace(photo)
    fix = trace.fix
    assert (fix.status, fix.method) == ("fix", "retrieval")
    assert error_m(fix) < 20.0
    assert fix.heading_deg == pytest.approx(40.0, abs=0.01)
    assert trace.alignment is None
    assert fix.timing_ms["align"] == 0
    best = fix.candidates[0]
    assert distance_m(LatLon(best.lat, best.lon), place(X_M, Y_M)) < 30.0


@pytest.mark.parametrize("top", [1, 3, 20])
def test_as_many_candidates_as_were_asked_for_best_first(pack, ground, top):
    view = a_view()
    photo = photo_record(ground.photo(view, X_M, Y_M), view)
    trace = Localizer(pack, BlockEncoder(), Options(top=top)).trace(photo)
    candidates = trace.fix.candidates
    assert len(candidates) == len(trace.matches) == top
    scores = [c.score for c in candidates]
    assert scores == sorted(scores, reverse=True)
    assert {c.footprint_m for c in candidates} == {120.0}  # 120 × 90 m cover 75 % of it
    for candidate, match in zip(candidates, trace.matches, strict=True):
        assert candidate.row == match.row
        assert candidate.lat == pack.tiles.lat[match.row]


def test_every_stage_is_timed(pack, ground):
    view = a_view()
    fix = locate(pack, photo_record(ground.photo(view, X_M, Y_M), view))
    assert tuple(fix.timing_ms) == (*STAGES, "total")
    stages = [fix.timing_ms[name] for name in STAGES]
    assert all(ms >= 0 for ms in stages)
    assert fix.timing_ms["align"] > 0
    assert sum(stages) <= fix.timing_ms["total"] + 0.1
    blank = locate(pack, photo_record(np.zeros((180, 240, 3), np.uint8), a_view()))
    assert tuple(blank.timing_ms) == (*STAGES, "total")


def test_the_trace_holds_the_evidence(pack, ground):
    view = a_view(heading_deg=10.0)
    photo = photo_record(ground.photo(view, X_M, Y_M), view)
    trace = Localizer(pack, BlockEncoder()).trace(photo)
    assert trace.photo is photo
    assert trace.query.view == trace.matches[0].view
    assert trace.query.footprint_m == pack.tiles.footprint_m[trace.matches[0].row]
    assert trace.alignment.best.score == trace.fix.details["peak"]
    record = trace.fix.to_record()
    assert record["camera_lat"] == trace.fix.camera_lat
    assert len(record["candidates"]) == 5


@pytest.mark.parametrize("limits", [("MAX_SCORES",), ("MAX_SCORES", "MAX_COARSE_SCORES")])
def test_a_map_too_large_to_compare_in_full_is_aligned_around_its_best_places(
    pack, ground, monkeypatch, limits
):
    """Those of the pooled map, or, on a map too large for that as well, the best tiles."""
    view = a_view(heading_deg=100.0)
    photo = photo_record(ground.photo(view, X_M, Y_M), view, heading_deg=None)
    whole = Localizer(pack, BlockEncoder()).trace(photo)
    for limit in limits:
        monkeypatch.setattr(localizer_module, limit, 100)
    monkeypatch.setattr(localizer_module, "ALIGNED_CANDIDATES", 2)
    part = Localizer(pack, BlockEncoder()).trace(photo)
    assert part.alignment.heatmap.box.area_m2 < 0.3 * whole.alignment.heatmap.box.area_m2
    # The rest was looked at before: chance had no fewer trials.
    assert part.alignment.trials == pytest.approx(whole.alignment.trials, rel=0.05)
    assert error_m(part.fix) < CELL_M
    assert part.fix.heading_deg == pytest.approx(100.0, abs=3.0)


def test_a_pack_of_another_encoder_is_refused(pack):
    with pytest.raises(PackError, match="was built with encoder blocks-1"):
        Localizer(pack, BlockEncoder(sha256="ef" * 32))


def test_a_photo_that_cannot_be_read_is_an_error(pack, tmp_path):
    file = tmp_path / "torn.jpg"
    file.write_bytes(b"\xff\xd8\xff\xe0 not much of a photo")
    with pytest.raises(PhotoError, match=r"torn\.jpg: "):
        Localizer(pack, BlockEncoder()).locate(file)
