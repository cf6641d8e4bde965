"""Degenerate and hostile photos: an answer in bounded time and memory, and never a wrong fix."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from locate_kit import BlockEncoder, Ground, a_view, build_ground_pack, photo_record
from mobilegeo.errors import UsageError
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.records import Options
from mobilegeo.metadata.telemetry import Telemetry

NADIR = {
    "heading_deg": 10.0, "pitch_deg": -90.0, "roll_deg": 0.0, "agl_m": 100.0, "hfov_deg": 70.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def ground():
    return Ground(side_m=240.0, seed=11)


@pytest.fixture(scope="module")
def localizer(ground, tmp_path_factory):
    pack = build_ground_pack(tmp_path_factory.mktemp("hostile"), ground, (60.0,))
    return Localizer(pack, BlockEncoder(), Options(ignore_gps=True))


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 2), (2, 1), (1, 4000), (4000, 1), (3, 9000), (7, 7)]
)
def test_images_without_room_for_a_picture(localizer, height, width):
    for known in (NADIR, NADIR | {"pitch_deg": -30.0}):
        fix = localizer.locate(photo_record(noise(height, width), **known))
        assert fix.status == "no_fix"
        assert fix.reason


@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_images_of_one_colour(localizer, value):
    image = np.full((180, 240, 3), value, np.uint8)
    fix = localizer.locate(photo_record(image, **NADIR))
    assert fix.status == "no_fix"
    assert "blank, dark or blurred" in fix.reason


def test_half_of_the_image_black(localizer, ground):
    """A photo that failed halfway through its transfer is found by its other half, or not."""
    view = a_view()
    image = ground.photo(view, 10.0, -10.0)
    image[90:] = 0
    fix = localizer.trace(photo_record(image, view))
    if fix.fix.status == "fix":
        best = fix.alignment.best
        assert np.hypot(best.x_m - 10.0, best.y_m + 10.0) < 10.0


@pytest.mark.parametrize(
    "changes",
    [
        {"hfov_deg": 170.0},
        {"hfov_deg": 1.0},
        {"agl_m": 0.5},
        {"agl_m": 20_000.0},
        {"agl_m": 20_000.0, "hfov_deg": 170.0},
        {"agl_m": 0.5, "hfov_deg": 1.0},
        {"pitch_deg": 0.0},
        {"pitch_deg": 90.0},
        {"pitch_deg": -17.0, "hfov_deg": 170.0},
        {"roll_deg": 180.0},
        {"roll_deg": 90.0, "pitch_deg": -45.0},
        {"agl_m": None, "hfov_deg": 170.0},
        {"agl_m": 20_000.0, "hfov_deg": None},
        {"agl_m": 0.5, "hfov_deg": None},
    ],
)
def test_poses_at_the_ends_of_their_ranges(localizer, changes):
    photo = photo_record(noise(180, 240, seed=3), **(NADIR | changes))
    started = time.process_time()
    assert localizer.locate(photo).status == "no_fix"
    # Hundreds of hypotheses take a second or two; no pose may take more.
    assert time.process_time() - started < 20.0


def test_the_widest_view_needs_no_more_memory_than_a_usual_one(localizer):
    used = []
    for changes in ({}, {"agl_m": 20_000.0, "hfov_deg": 170.0}):
        photo = photo_record(noise(180, 240, seed=3), **(NADIR | changes))
        tracemalloc.start()
        localizer.locate(photo)
        used.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert used[1] < 2 * used[0]


@pytest.mark.parametrize("name", list(NADIR))
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_telemetry_that_is_no_number_is_refused(name, value):
    with pytest.raises(UsageError, match=name):
        Telemetry(**(NADIR | {name: value}))


@settings(
    deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.floats(0, 360), st.floats(-120, 90), st.floats(-180, 180), st.floats(0.5, 20_000),
    st.floats(1, 170), st.integers(1, 400), st.integers(1, 400),
)  # fmt: skip
def test_any_pose_and_size_gives_an_answer(
    localizer, heading_deg, pitch_deg, roll_deg, agl_m, hfov_deg, height, width
):
    known = {
        "heading_deg": heading_deg, "pitch_deg": pitch_deg, "roll_deg": roll_deg,
        "agl_m": agl_m, "hfov_deg": hfov_deg,
    }  # fmt: skip
    fix = localizer.locate(photo_record(noise(height, width, seed=5), **known))
    assert fix.status == "no_fix"
    assert 0.0 <= fix.confidence < 0.5
