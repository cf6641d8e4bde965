"""Several photos of one place: agreement by hand, and one fix out of files."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli_kit import call
from locate_kit import CELL_M, BlockEncoder, Ground, a_view, build_ground_pack, place
from mobilegeo.errors import PhotoError, UsageError
from mobilegeo.fix import Fix
from mobilegeo.geo import LatLon, distance_m
from mobilegeo.locate import views
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.prior import CirclePrior
from mobilegeo.locate.records import Options
from mobilegeo.locate.together import ENOUGH, locate_together
from mobilegeo.locate.views.agreement import AGREEMENT, agree, agreeing
from mobilegeo.locate.views.sight import Choice
from mobilegeo.metadata.telemetry import Telemetry, TelemetryRow, TelemetryTable
from mobilegeo.photo import open_photo


def a_fix(x_m, y_m, sigma_m=5.0, confidence=0.9, photo="a.jpg"):
    point = place(x_m, y_m)
    return Fix(
        photo, "fix", lat=point.lat, lon=point.lon, sigma_m=sigma_m, confidence=confidence,
        method="aligned", heading_deg=12.0,
    )  # fmt: skip


NO_FIX = Fix("dark.jpg", "no_fix", confidence=0.3, reason="dark")


def test_two_fixes_are_averaged_by_inverse_variance():
    fix = agree([a_fix(0, 0, 3.0, 0.9), a_fix(10, 0, 6.0, 0.6, "b.jpg")])
    # Weights 1/9 and 1/36: 4 to 1.
    assert distance_m(LatLon(fix.lat, fix.lon), place(2.0, 0.0)) < 1e-3
    formal = 1 / math.sqrt(1 / 9 + 1 / 36)
    spread = math.sqrt((0.8 * 2.0**2 + 0.2 * 8.0**2) / 2 / 2)
    assert fix.sigma_m == pytest.approx(math.hypot(formal, spread), rel=1e-4)
    assert fix.confidence == pytest.approx(1 - 0.1 * 0.4)
    assert (fix.photo, fix.heading_deg, fix.method) == ("a.jpg", 12.0, "aligned")


def test_one_fix_stays_as_it_is():
    one = a_fix(3, 4)
    fix = agree([NO_FIX, one])
    assert distance_m(LatLon(fix.lat, fix.lon), place(3, 4)) < 1e-6
    assert fix.sigma_m == pytest.approx(one.sigma_m)
    assert fix.confidence == pytest.approx(one.confidence)


@settings(deadline=None)
@given(st.lists(st.floats(1.0, 20.0), min_size=1, max_size=8))
def test_fixes_at_one_place_become_surer(sigmas):
    fix = agree([a_fix(5, -5, sigma) for sigma in sigmas])
    assert distance_m(LatLon(fix.lat, fix.lon), place(5, -5)) < 1e-3
    assert fix.sigma_m == pytest.approx(1 / math.sqrt(sum(1 / s**2 for s in sigmas)), rel=1e-3)


def test_a_fix_far_off_does_not_count():
    near, far = a_fix(0, 0, 4.0, 0.95), a_fix(0, 1.01 * AGREEMENT * 5.0, 3.0, 0.9)
    fix = agree([far, near])
    assert distance_m(LatLon(fix.lat, fix.lon), place(0, 0)) < 1e-6
    assert fix.confidence == pytest.approx(0.95)
    just = agree([near, a_fix(0, 0.99 * AGREEMENT * 5.0, 3.0, 0.9)])
    assert just.confidence == pytest.approx(1 - 0.05 * 0.1)


def test_without_a_fix_the_surest_no_fix_is_the_answer():
    surer = Fix("b.jpg", "no_fix", confidence=0.4, reason="foggy")
    assert agree([NO_FIX, surer]) is surer


def test_a_fix_stands_before_a_surer_no_fix():
    sure = Fix("b.jpg", "no_fix", confidence=0.99)
    assert agree([sure, a_fix(0, 0, confidence=0.5)]).status == "fix"


def test_only_fixes_near_the_surest_agree():
    fixes = [a_fix(0, 0, confidence=0.95), a_fix(3, 0), a_fix(90, 0), a_fix(94, 0), NO_FIX]
    votes = agreeing(fixes)
    assert [round(vote.x_m) for vote in votes] == [0, 3]
    assert [vote.doubt for vote in votes] == pytest.approx([0.05, 0.1])
    assert agreeing([NO_FIX]) == []


X_M, Y_M = -30.0, 22.0


@pytest.fixture(scope="module")
def ground():
    return Ground(side_m=400.0, seed=21)


@pytest.fixture(scope="module")
def pack(ground, tmp_path_factory):
    return build_ground_pack(tmp_path_factory.mktemp("together"), ground)


@pytest.fixture(scope="module")
def shots(ground, tmp_path_factory):
    """Three photos of one place, a blank one, and one that cannot be read."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(3):
        image = ground.photo(a_view(heading_deg=90.0 * number), X_M, Y_M)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    (folder / "torn.jpg").write_bytes(b"\xff\xd8 torn")
    cv2.imwrite(str(folder / "blank.png"), np.full((180, 240, 3), 99, np.uint8))
    return folder


KNOWN = Telemetry(pitch_deg=-90.0, roll_deg=0.0, agl_m=100.0, hfov_deg=61.93)


def together(pack, files, known=KNOWN, **options):
    localizer = Localizer(pack, BlockEncoder(), Options(**options))
    return [t.fix for t in locate_together(localizer, files, TelemetryTable("", ()), known)]


def test_photos_of_one_place_give_one_fix(pack, shots):
    files = [shots / f"{number}.png" for number in range(3)]
    (fix,) = together(pack, files)
    assert (fix.status, fix.method) == ("fix", "aligned")
    assert distance_m(LatLon(fix.lat, fix.lon), place(X_M, Y_M)) < 0.5 * CELL_M
    assert fix.photo in map(str, files)
    assert "3 of 3 views used" in fix.reason
    assert all(f"{number}.png" in fix.reason for number in range(3))
    assert len(fix.candidates) == 5
    assert fix.timing_ms["total"] > 0
    assert 0.9 < fix.confidence <= 1.0


def test_by_retrieval_alone(pack, shots):
    files = [shots / f"{number}.png" for number in range(2)]
    (fix,) = together(pack, files, retrieval_only=True, top=2)
    assert (fix.status, fix.method) == ("fix", "retrieval")
    assert distance_m(LatLon(fix.lat, fix.lon), place(X_M, Y_M)) < 25.0
    assert len(fix.candidates) == 2


def test_bad_photos_are_reported_and_do_not_stop_the_others(pack, shots):
    files = [shots / name for name in ("torn.jpg", "blank.png", "1.png")]
    torn, fix = together(pack, files)
    assert (torn.status, torn.photo) == ("error", str(files[0]))
    assert "torn.jpg" in torn.reason
    assert fix.status == "fix"
    assert "1 of 3 views used: 1.png" in fix.reason


def test_nothing_but_blank_photos_is_no_fix(pack, shots):
    (fix,) = together(pack, [shots / "blank.png"])
    assert (fix.status, fix.photo) == ("no_fix", str(shots / "blank.png"))
    assert "blank.png: the photo shows nothing to match" in fix.reason


def test_nothing_but_torn_photos_is_errors_alone(pack, shots):
    fixes = together(pack, [shots / "torn.jpg"])
    assert [fix.status for fix in fixes] == ["error"]


def test_a_prior_off_the_map_is_no_fix(pack, shots):
    files = [shots / "0.png", shots / "1.png"]
    (fix,) = together(pack, files, prior=CirclePrior(place(9000.0, 0.0), 50.0))
    assert fix.status == "no_fix"
    assert "no tile of the map" in fix.reason
    assert fix.timing_ms["total"] > 0


class CountingEncoder(BlockEncoder):
    """Remembers how many images went through each output."""

    def __init__(self):
        super().__init__()
        self.embedded = 0

    def embed(self, images):
        self.embedded += len(images)
        return super().embed(images)


def photographed(folder, ground, headings, agl_m=100.0, suffix="png"):
    """Photos of the place and the table of their telemetry."""
    files, rows = [], []
    for number, heading in enumerate(headings):
        file = folder / f"{number:02}.{suffix}"
        image = ground.photo(a_view(heading_deg=heading, agl_m=agl_m), X_M, Y_M)
        cv2.imwrite(str(file), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        files.append(file)
        telemetry = replace(KNOWN, heading_deg=heading, agl_m=agl_m)
        rows.append(TelemetryRow(PurePosixPath(file.name), telemetry, number + 2))
    return files, rows


def spoil(file):
    image = cv2.imread(str(file))
    hazy = 120 + 0.3 * cv2.GaussianBlur(image, (0, 0), 3).astype(np.float32)
    cv2.imwrite(str(file), hazy.astype(np.uint8))


@pytest.fixture(scope="module")
def orbit(ground, tmp_path_factory):
    """18 photos around the place, all but 6 spoilt."""
    files, rows = photographed(
        tmp_path_factory.mktemp("orbit"), ground, [20.0 * number for number in range(18)]
    )
    for number, file in enumerate(files):
        if number % 3:
            spoil(file)
    return files, TelemetryTable("telemetry.csv", tuple(rows))


def located(pack, photos, choice, encoder=None, *, retrieval_only=True):
    files, table = photos
    options = Options(retrieval_only=retrieval_only)
    localizer = Localizer(pack, encoder or CountingEncoder(), options)
    return [t.fix for t in locate_together(localizer, files, table, Telemetry(), choice)]


@pytest.mark.parametrize("selection", [name for name in views.SELECTORS if name != "all"])
def test_only_chosen_photos_are_encoded(pack, orbit, selection):
    encoder = CountingEncoder()
    (fix,) = located(pack, orbit, Choice(4, selection), encoder)
    assert encoder.embedded == 4
    assert fix.details["encoded"] == fix.details["used"] == 4
    assert fix.details["photos"] == 18
    assert "4 of 18 views used" in fix.reason


def test_all_views_can_be_asked_for(pack, orbit):
    encoder = CountingEncoder()
    (fix,) = located(pack, orbit, Choice(4, "all"), encoder)
    assert encoder.embedded == fix.details["encoded"] == 18


@pytest.mark.parametrize("selection", ["msrm", "logdet"])
def test_good_photos_all_around_are_chosen(pack, orbit, selection):
    (fix,) = located(pack, orbit, Choice(4, selection), retrieval_only=False)
    chosen = [int(Path(name).stem) for name in fix.reason.split("used: ")[1].split(", ")]
    assert all(number % 3 == 0 for number in chosen)
    turns = np.diff(sorted([*chosen, min(chosen) + 18]))
    assert turns.max() <= 6  # no gap of more than 120°
    assert distance_m(LatLon(fix.lat, fix.lon), place(X_M, Y_M)) < 0.5 * CELL_M
    assert fix.details["aligned"] == ENOUGH


def test_copies_are_passed_over_without_a_pose(pack, ground, tmp_path):
    files, _ = photographed(tmp_path, ground, [0.0, 0.0, 0.0, 0.0, 90.0])
    telemetry = replace(KNOWN, heading_deg=None)
    rows = [
        TelemetryRow(PurePosixPath(file.name), telemetry, number)
        for number, file in enumerate(files)
    ]
    (fix,) = located(pack, (files, TelemetryTable("", tuple(rows))), Choice(2))
    assert "04.png" in fix.reason


def test_a_chosen_photo_that_fails_is_replaced(pack, ground, orbit, tmp_path):
    files, rows = photographed(tmp_path, ground, [0.0, 120.0, 240.0])
    image = np.zeros((180, 240, 3), np.uint8)
    image[:18] = cv2.imread(str(files[0]))[:18]  # detail, but too little ground
    cv2.imwrite(str(files[0]), image)
    rows[0] = replace(rows[0], telemetry=replace(KNOWN, heading_deg=0.0, agl_m=8.0))
    encoder = CountingEncoder()
    table = TelemetryTable("", tuple(rows))
    (fix,) = located(pack, (files, table), Choice(3, "random"), encoder)
    assert "2 of 3 views used" in fix.reason
    assert "00.png" not in fix.reason
    assert encoder.embedded == 2


def test_a_photo_that_breaks_when_read_in_full_is_an_error(pack, orbit, monkeypatch):
    def refuse(path, *, overrides):
        if Path(path).name == "00.png":
            raise PhotoError(path, "breaks off", "copy it again")
        return open_photo(path, overrides=overrides)

    monkeypatch.setattr("mobilegeo.locate.localizer.open_photo", refuse)
    error, fix = located(pack, orbit, Choice(18))
    assert (error.status, Path(error.photo).name) == ("error", "00.png")
    assert fix.details["encoded"] == 17


def test_too_many_photos_are_refused(pack):
    with pytest.raises(UsageError, match="2001 photos: more than 2000 of one place; give every"):
        together(pack, [Path(f"{number}.jpg") for number in range(2001)])


def test_no_view_at_all_is_refused():
    with pytest.raises(UsageError, match="number of views 0: is not positive"):
        Choice(0)
    with pytest.raises(UsageError, match="'first': is not known"):
        Choice(3, "first")


def test_views_are_chosen_only_among_photos_of_one_place():
    outcome = call("locate", "a.jpg", "--map", "area.pack", "--views", "3")
    assert outcome.code == 2
    assert "is given without --together; give --together too" in outcome.err


def test_an_unknown_selection_is_bad_usage():
    options = ("--together", "--view-selection", "best")
    outcome = call("locate", "a.jpg", "--map", "area.pack", *options)
    assert outcome.code == 2
    assert "view selection 'best': is not known; choose one of msrm, logdet" in outcome.err


def test_the_command_line_says_how_many_views(pack, orbit):
    """The pack is another encoder's, which is told only after the choice was understood."""
    options = ("--together", "--views", "2", "--view-selection", "even")
    outcome = call("locate", *orbit[0], "--map", pack.path, *options)
    assert outcome.code == 3
    assert "was built with encoder blocks-1" in outcome.err
