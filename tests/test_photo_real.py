"""Real photos, read where the data beside the repository are present."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mobilegeo.photo import read_metadata, read_photo


def test_every_dji_photo_says_what_its_maker_note_holds(shared_data: Path) -> None:
    folder = shared_data / "drone" / "sheffield_cross"
    with (folder / "images.csv").open(newline="") as file:
        rows = {row["source_path"]: row for row in csv.DictReader(file)}
    photos = sorted((folder / "images").glob("*.JPG"))
    assert len(photos) == 86
    for path in photos:
        metadata, row = read_metadata(path), rows[path.name]
        pose, gps = metadata.pose, metadata.gps
        assert pose is not None
        assert gps is not None
        assert pose.heading_deg == float(row["gimbal_yaw"]) % 360.0
        assert pose.pitch_deg == float(row["gimbal_pitch"])
        assert pose.roll_deg == float(row["gimbal_roll"])
        assert pose.agl_m is None  # the altitude by GPS is not one above the ground
        assert gps.lat == pytest.approx(float(row["latitude"]), abs=1e-9)
        assert gps.lon == pytest.approx(float(row["longitude"]), abs=1e-9)
        taken = datetime.strptime(row["datetime"], "%Y:%m:%d %H:%M:%S")
        assert metadata.time == taken
        assert metadata.full_size == (800, 600)
        # 20 mm equivalent on 4:3; the sensor's 6.16 mm behind 3.61 mm give 80.9.
        assert metadata.camera is not None
        assert metadata.camera.hfov_deg == pytest.approx(81.74, abs=0.01)
        assert metadata.notes == ()


def test_compact_camera_knows_its_sensor(shared_data: Path) -> None:
    path = shared_data / "drone" / "caliterra" / "full_size" / "IMG_9354.jpg"
    photo = read_photo(path, min_side_px=700)
    assert photo.image.shape == (750, 1000, 3)
    assert photo.full_size == (4000, 3000)
    assert photo.time == datetime(2014, 10, 19, 18, 20, 51, tzinfo=UTC)
    assert photo.pose is None
    assert photo.camera is not None
    assert photo.camera.hfov_deg == pytest.approx(69.1, abs=0.1)


def test_stripped_photos_know_nothing(shared_data: Path) -> None:
    for folder in ("caliterra", "lewis"):
        path = next((shared_data / "drone" / folder / "images").glob("*.jpg"))
        metadata = read_metadata(path)
        assert (metadata.gps, metadata.pose, metadata.camera) == (None, None, None)
