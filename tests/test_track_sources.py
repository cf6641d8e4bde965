"""Folders and videos as sources: order, times, telemetry, and what cannot be read."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from PIL import Image

from mobilegeo.errors import PhotoError, UsageError
from mobilegeo.metadata.telemetry import Telemetry
from mobilegeo.track.sources import open_source
from photo_kit import exif_block

av = pytest.importorskip("av")

SRT = """1
00:00:00,000 --> 00:00:00,500
2024-05-06 07:08:09.000
[focal_len: 24.00] [rel_alt: 100.000 abs_alt: 132.860] [gb_yaw: 350.0 gb_pitch: -90.0 gb_roll: 0.0]

2
00:00:01,000 --> 00:00:01,500
2024-05-06 07:08:10.000
[focal_len: 24.00] [rel_alt: 110.000 abs_alt: 132.860] [gb_yaw: 10.0 gb_pitch: -90.0 gb_roll: 0.0]
"""


def photo(path, clock=None):
    exif = exif_block(camera={0x9003: clock}) if clock else b""
    Image.new("RGB", (64, 48), (90, 120, 60)).save(path, exif=exif)
    return path


def clock(second):
    return f"2024:05:06 07:{second // 60:02d}:{second % 60:02d}"


def film(path, frames=20, rate=10):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(frames):
            image = np.full((48, 64, 3), 128, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def times_of(folder, **options):
    return [round(f.time_s, 3) for f in open_source(folder, **options).frames()]


def test_times_come_from_the_clock_and_order_follows_them(tmp_path) -> None:
    for name, second in (("a.jpg", 20), ("b.jpg", 10), ("c.jpg", 30)):
        photo(tmp_path / name, clock(second))
    source = open_source(tmp_path)
    frames = list(source.frames())
    assert [f.name.rpartition("/")[2] for f in frames] == ["b.jpg", "a.jpg", "c.jpg"]
    assert [f.time_s for f in frames] == [0.0, 10.0, 20.0]
    assert frames[0].clock == datetime(2024, 5, 6, 7, 0, 10)
    assert source.count == 3
    assert source.notes == ()


def test_photos_of_one_second_share_it(tmp_path) -> None:
    for n, second in enumerate((5, 5, 6, 6, 6, 9, 9)):
        photo(tmp_path / f"{n}.jpg", clock(second))
    assert times_of(tmp_path) == [0.0, 0.5, 1.0, 1.333, 1.667, 4.0, 4.5]


def test_photos_without_times_are_evenly_spaced_and_it_is_told(tmp_path) -> None:
    for n in range(3):
        photo(tmp_path / f"{n}.jpg")
    assert times_of(tmp_path) == [0.0, 1.0, 2.0]
    assert times_of(tmp_path, rate_hz=4.0) == [0.0, 0.25, 0.5]
    assert "the photos have no times: taken as 1 s apart" in open_source(tmp_path).notes[0]


def test_a_photo_without_time_lies_between_its_neighbours(tmp_path) -> None:
    photo(tmp_path / "0.jpg", clock(0))
    photo(tmp_path / "1.jpg")
    photo(tmp_path / "2.jpg", clock(10))
    photo(tmp_path / "3.jpg")
    assert times_of(tmp_path) == [0.0, 5.0, 10.0, 11.0]


def test_photos_before_the_first_clock_are_a_second_apart(tmp_path) -> None:
    for n, second in enumerate((None, None, 10, None, None, 40)):
        photo(tmp_path / f"{n}.jpg", None if second is None else clock(second))
    assert times_of(tmp_path) == [0.0, 1.0, 2.0, 12.0, 22.0, 32.0]


def test_a_single_photo_without_a_clock_is_a_track_of_one(tmp_path) -> None:
    photo(tmp_path / "0.jpg")
    assert times_of(tmp_path) == [0.0]


def test_times_of_the_table_come_first(tmp_path) -> None:
    for n in range(3):
        photo(tmp_path / f"{n}.jpg", clock(n))
    table = tmp_path / "t.csv"
    table.write_text("photo,time_s,agl_m\n0.jpg,100,80\n1.jpg,104,81\n2.jpg,106,\n")
    frames = list(open_source(tmp_path, telemetry=table).frames())
    assert [f.time_s for f in frames] == [0.0, 4.0, 6.0]
    assert [f.telemetry.agl_m for f in frames] == [80.0, 81.0, None]
    assert open_source(tmp_path, telemetry=table).notes == ()
    photo(tmp_path / "3.jpg", clock(3))
    note = "t.csv has no row for 1 of 4 photos"
    assert open_source(tmp_path, telemetry=table).notes == (note,)


def test_overrides_stand_before_the_table(tmp_path) -> None:
    photo(tmp_path / "0.jpg")
    table = tmp_path / "t.csv"
    table.write_text("photo,agl_m,pitch_deg\n0.jpg,80,-80\n")
    source = open_source(tmp_path, telemetry=table, overrides=Telemetry(agl_m=120.0))
    known = next(source.frames()).telemetry
    assert (known.agl_m, known.pitch_deg) == (120.0, -80.0)


def test_a_rate_leaves_photos_out(tmp_path) -> None:
    for n in range(10):
        photo(tmp_path / f"{n}.jpg", clock(n))
    frames = list(open_source(tmp_path, rate_hz=0.5).frames())
    assert len(frames) == 10
    assert [f.time_s for f in frames if f.load is not None] == [0.0, 2.0, 4.0, 6.0, 8.0]


def test_a_broken_photo_is_told_when_it_is_due(tmp_path) -> None:
    photo(tmp_path / "0.jpg", clock(0))
    (tmp_path / "1.jpg").write_bytes(b"\xff\xd8\xff broken")
    photo(tmp_path / "2.jpg", clock(2))
    frames = list(open_source(tmp_path).frames())
    assert [f.time_s for f in frames] == [0.0, 1.0, 2.0]
    with pytest.raises(PhotoError, match=r"1.jpg: is damaged"):
        frames[1].load()
    assert frames[2].load().image.shape == (48, 64, 3)


def test_video_with_the_subtitles_beside_it(tmp_path) -> None:
    path = film(tmp_path / "flight.mp4")
    (tmp_path / "flight.SRT").write_text(SRT)
    source = open_source(path)
    frames = list(source.frames())
    assert source.notes == ("telemetry from flight.SRT",)
    assert source.count is None
    assert len(frames) == 20
    assert [n for n, f in enumerate(frames) if f.load] == [0, 5, 10, 15]
    assert frames[5].name == "flight.mp4#5"
    told = frames[5].telemetry
    assert told.heading_deg == pytest.approx(0.0)
    assert told.agl_m == pytest.approx(105.0)
    assert told.hfov_deg == pytest.approx(71.6, abs=0.2)
    assert frames[5].clock == datetime(2024, 5, 6, 7, 8, 9, 500_000)
    seen = frames[5].load()
    assert seen.image.shape == (48, 64, 3)
    assert seen.telemetry == told


def test_video_with_a_csv(tmp_path) -> None:
    path = film(tmp_path / "flight.mkv")
    table = tmp_path / "t.csv"
    table.write_text("time_s,heading_deg\n0,10\n1,20\n")
    frames = list(open_source(path, telemetry=table, rate_hz=1.0).frames())
    assert frames[5].telemetry.heading_deg == pytest.approx(15.0)
    assert sum(f.load is not None for f in frames) == 2


def test_video_without_telemetry_says_so(tmp_path) -> None:
    assert open_source(film(tmp_path / "a.mp4")).notes == (
        "no telemetry: heading and height are searched",
    )


def test_sources_that_cannot_be_meant(tmp_path) -> None:
    with pytest.raises(PhotoError, match=r"none: does not exist; give a video or a folder"):
        open_source(tmp_path / "none")
    with pytest.raises(UsageError, match="the folder holds no photos"):
        open_source(tmp_path)
    text = tmp_path / "a.txt"
    text.write_text("x")
    with pytest.raises(PhotoError, match=r"a.txt: is neither a folder nor a video"):
        open_source(text)
    with pytest.raises(UsageError, match=r"--fps -1: is not above 0"):
        open_source(text, rate_hz=-1.0)
    wrong = tmp_path / "wrong.srt"
    wrong.write_text("hello")
    with pytest.raises(UsageError, match=r"wrong.srt: holds no subtitles"):
        open_source(film(tmp_path / "a.mp4"), telemetry=wrong)
