"""A whole flight over a generated world, with black and adversarial frames, against the truth."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from cli_kit import call
from mobilegeo.encoder import load_encoder
from mobilegeo.errors import UsageError
from mobilegeo.geo import LatLon, destination, distance_m
from mobilegeo.locate.localizer import Localizer
from mobilegeo.locate.obstacles import MARGIN_M
from mobilegeo.locate.prior import CirclePrior
from mobilegeo.maps import open_map
from mobilegeo.maps.build import build_pack
from mobilegeo.maps.pack import MapPack
from mobilegeo.track.follow import follow
from mobilegeo.track.sources import open_source
from mobilegeo.track.tracker import Tracker
from mobilegeo.world.flight import Biases, FlightPlan
from mobilegeo.world.flight_files import write_flight

PLAN = FlightPlan(
    length_m=400.0,
    speed_m_s=12.0,
    agl_m=90.0,
    blackouts_s=((14.0, 19.0),),
    bad_share=0.12,
    biases=Biases(heading_deg=4.0, pitch_deg=1.5, height=1.1),
)


@pytest.fixture(scope="module")
def flight(tmp_path_factory):
    """Folder of a flight of 30 photos with its pack, and the truth by photo."""
    folder = tmp_path_factory.mktemp("flight")
    files = write_flight(folder, PLAN, seed=5, size_m=(560.0, 460.0), photo_px=(320, 240))
    build_pack(
        open_map([files.map_tif]), folder / "map.pack", load_encoder(),
        footprints_m=(100.0,), stride=0.5,
    )  # fmt: skip
    with files.truth_csv.open(newline="") as lines:
        return folder, {row["photo"]: row for row in csv.DictReader(lines)}


@pytest.fixture(scope="module")
def tracked(flight):
    """Forward steps and the smoothed track of that flight, without its GPS."""
    folder, _ = flight
    tracker = Tracker(Localizer(MapPack.open(folder / "map.pack")), ignore_gps=True)
    steps = []
    return steps, follow(open_source(folder / "photos"), tracker, steps.append), tracker


def error_m(truth, name, place):
    row = truth[Path(name).name]
    return distance_m(place, LatLon(float(row["lat"]), float(row["lon"])))


def forward_error_m(truth, tracker, step):
    x, y = (float(v) for v in step.estimate.state.mean[:2])
    return error_m(truth, step.frame.name, tracker.frame.point(x, y))


def test_the_track_is_right(flight, tracked) -> None:
    _, truth = flight
    _, track, _ = tracked
    told = [p for p in track.points if p.lat is not None]
    errors = [error_m(truth, p.frame, LatLon(p.lat, p.lon)) for p in told]
    assert len(told) == len(track.points)
    assert math.sqrt(np.mean(np.square(errors))) < 8.0
    assert all(e < 4 * p.sigma_m for e, p in zip(errors, told, strict=True))


def test_status_is_honest(flight, tracked) -> None:
    _, truth = flight
    _, track, _ = tracked
    fault = {p.frame: truth[Path(p.frame).name]["fault"] for p in track.points}
    assert not [p for p in track.points if p.status == "fix" and fault[p.frame]]
    good = [p for p in track.points if not fault[p.frame]]
    assert np.mean([p.status == "fix" for p in good]) > 0.9
    dark = [p for p in track.points if fault[p.frame] == "blank"]
    assert dark
    assert all("nothing to match" in p.reason for p in dark)


def test_recovers_at_once_from_the_dark(flight, tracked) -> None:
    _, truth = flight
    steps, _, tracker = tracked
    # Estimates are those at the time of each step: no later frame has helped.
    right = [
        step.frame.time_s
        for step in steps
        if step.status == "fix" and forward_error_m(truth, tracker, step) < 25.0
    ]
    assert min(t for t in right if t >= 19.0) <= 24.0
    assert steps[18].estimate.state.sigma_m > 1.5 * steps[13].estimate.state.sigma_m


def test_telemetry_errors_are_learnt(tracked) -> None:
    _, track, _ = tracked
    # Roofs and crowns are nearer than the ground: a few per cent of the height.
    assert track.biases["height"].value == pytest.approx(1 / 1.1 - 1 - 0.03, abs=0.03)
    assert track.biases["heading"].value == pytest.approx(-4.0, abs=2.5)
    assert track.biases["height"].sigma < 0.03


def test_the_prior_narrows_the_search(tracked) -> None:
    _, _, tracker = tracked
    radius_m = tracker.mixture.circle(4.0)[2]
    assert radius_m + MARGIN_M < 100.0


def test_every_frame_of_a_folder_gets_a_record_though_few_are_located(flight) -> None:
    folder, truth = flight
    tracker = Tracker(Localizer(MapPack.open(folder / "map.pack")), ignore_gps=True)
    track = follow(open_source(folder / "photos", rate_hz=0.5), tracker)
    assert len(track.points) == len(truth)
    assert track.located == math.ceil(len(truth) / 2)
    told = [p for p in track.points[4:] if p.lat is not None]
    errors = [error_m(truth, p.frame, LatLon(p.lat, p.lon)) for p in told]
    assert max(errors) < 30.0
    assert all(p.status != "fix" for p in track.points[1::2])


def test_a_start_that_excludes_the_truth_finds_nothing_there(flight) -> None:
    folder, truth = flight
    first = next(iter(truth.values()))
    start = LatLon(float(first["lat"]), float(first["lon"]))
    localizer = Localizer(MapPack.open(folder / "map.pack"))
    near = Tracker(localizer, near=CirclePrior(start, 60.0), ignore_gps=True)
    # What is told on the command line stands before the frame's GPS.
    far = Tracker(localizer, near=CirclePrior(destination(start, 45.0, 250.0), 60.0))
    frame = next(open_source(folder / "photos").frames())
    assert frame.telemetry.position is not None
    assert near.step(frame).status == "fix"
    assert far.step(frame).status == "lost"


def test_command_line(flight, tmp_path) -> None:
    folder, truth = flight
    few = tmp_path / "few"
    few.mkdir()
    for name in list(truth)[:5]:
        (few / name).symlink_to(folder / "photos" / name)
    (few / "FLY_0003x.jpg").write_bytes(b"\xff\xd8\xff broken")
    out = call(
        "track", few, "--map", folder / "map.pack", "--ignore-gps", "--json",
        "--out", tmp_path / "t.gpx", "--report", tmp_path / "r", "--truth", folder / "truth.csv",
    )  # fmt: skip
    assert out.code == 1, out.err
    assert "FLY_0003x.jpg: is damaged" in out.err
    assert len(out.records) == 6
    assert {"frame", "time_s", "status", "lat", "lon", "sigma_m"} <= set(out.records[0])
    for record in out.records:
        if record["status"] == "fix":
            place = LatLon(record["lat"], record["lon"])
            assert error_m(truth, record["frame"], place) < 25.0
    assert (tmp_path / "t.gpx").is_file()
    assert "RMSE" in (tmp_path / "r" / "track.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["none.mp4"], 1, "none.mp4: does not exist"),
        (["."], 2, "the folder holds no photos"),
        ([".", "--out", "t.shp"], 2, "unknown format"),
        ([".", "--radius-m", "5"], 2, "--radius-m: is given without --near"),
        ([".", "--truth", "t.csv"], 2, "--truth: is given without --report"),
        ([".", "--agl-m", "-3"], 2, "agl_m -3.0: is not within"),
    ],
)
def test_bad_usage(tmp_path, monkeypatch, flight, arguments, code, problem) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = call("track", *arguments, "--map", flight[0] / "map.pack")
    assert outcome.code == code
    assert problem in outcome.err
    assert outcome.out == ""


def test_a_report_that_cannot_be_written_is_told_before_the_work(
    tmp_path, flight, monkeypatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr("mobilegeo.track.follow.follow", lambda *_: pytest.fail("too late"))
    folder = flight[0]
    outcome = call("track", folder / "photos", "--map", folder / "map.pack", "--report", file)
    assert outcome.code == 2
    assert "file: cannot be made" in outcome.err


def test_missing_pack(tmp_path, flight) -> None:
    outcome = call("track", flight[0] / "photos", "--map", tmp_path / "none.pack")
    assert outcome.code == 3


def test_records_are_json_without_nan(tracked) -> None:
    _, track, _ = tracked
    for point in track.points:
        json.dumps(point.to_record(), allow_nan=False)


def test_a_rate_that_cannot_be_meant(flight) -> None:
    with pytest.raises(UsageError, match="--fps 0"):
        open_source(flight[0] / "photos", rate_hz=0.0)
