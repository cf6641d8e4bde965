"""Frames of videos: times, rotation, damage, and files that are none."""

from __future__ import annotations

import sys
from fractions import Fraction

import numpy as np
import pytest

from mobilegeo import video
from mobilegeo.errors import MissingExtraError, PhotoError
from mobilegeo.video import read_facts, read_pictures

av = pytest.importorskip("av")

SIZE = (160, 120)


def picture(number):
    """Left red, upper right green, lower right as bright as its number."""
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    image[:, :80] = (255, 0, 0)
    image[:60, 80:] = (0, 255, 0)
    image[60:, 80:] = 6 * number
    return image


def write(path, stamps=range(30), *, codec="mpeg4", rate=10, rotation=None, created=None):
    """A video with frames at `stamps`, in units of 1 / rate seconds."""
    with av.open(str(path), "w") as container:
        if created is not None:
            container.metadata["creation_time"] = created
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, rate)
        stream.codec_context.gop_size = 5
        for number, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_sound(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts = 8000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return write(tmp_path_factory.mktemp("video") / "plain.mp4")


def test_facts(tmp_path, plain) -> None:
    facts = read_facts(plain)
    assert facts.size_px == SIZE
    assert facts.rotation_deg == 0
    dated = write(tmp_path / "dated.mp4", range(3), created="2024-05-06T07:08:09.000000Z")
    assert read_facts(dated).created.isoformat() == "2024-05-06T07:08:09+00:00"


def test_all_frames_in_order(plain) -> None:
    pictures = list(read_pictures(plain))
    assert [p.number for p in pictures] == list(range(30))
    np.testing.assert_allclose([p.time_s for p in pictures], np.arange(30) / 10, atol=1e-3)
    for p in pictures:
        assert p.image.shape == (120, 160, 3)
        assert p.image.dtype == np.uint8
        assert abs(int(p.image[90, 120].mean()) - 6 * p.number) < 12
    red, green = pictures[0].image[30, 20], pictures[0].image[30, 140]
    assert min(red[0], green[1]) > 200
    assert max(red[1], green[0]) < 100


@pytest.mark.parametrize(("rate_hz", "wanted"), [(2.0, range(0, 30, 5)), (100.0, range(30))])
def test_sampled_frames(plain, rate_hz, wanted) -> None:
    pictures = list(read_pictures(plain, rate_hz))
    assert len(pictures) == 30
    assert [p.number for p in pictures if p.image is not None] == list(wanted)


def test_variable_frame_rate_keeps_its_times(tmp_path) -> None:
    stamps = [0, 1, 2, 10, 11, 40]
    pictures = list(read_pictures(write(tmp_path / "vfr.mkv", stamps), 1.0))
    np.testing.assert_allclose([p.time_s for p in pictures], np.array(stamps) / 10, atol=2e-3)
    assert [p.number for p in pictures if p.image is not None] == [0, 3, 5]


def test_first_frame_is_time_zero(tmp_path) -> None:
    pictures = list(read_pictures(write(tmp_path / "late.mkv", range(50, 60))))
    assert pictures[0].time_s == 0.0
    assert pictures[-1].time_s == pytest.approx(0.9, abs=2e-3)


def test_rotation_is_applied(plain, monkeypatch) -> None:
    monkeypatch.setattr(video, "_rotation", lambda _: 90)
    assert read_facts(plain).size_px == (120, 160)
    image = next(read_pictures(plain)).image
    assert image.shape == (160, 120, 3)
    # Turned counterclockwise: what was on the left is at the bottom.
    assert image[140, 60, 0] > 200
    assert image[20, 30, 1] > 200


def test_rotation_of_the_display_matrix() -> None:
    class Frame:
        def __init__(self, rotation):
            self.rotation = rotation

    turns = [video._rotation(Frame(r)) for r in (0, -90, 90, 180, -180, 89.9, -0.4)]
    assert turns == [0, 270, 90, 180, 180, 90, 0]


def test_large_frames_are_reduced(plain, monkeypatch) -> None:
    monkeypatch.setattr(video, "SIDE_PX", 60)
    assert next(read_pictures(plain)).image.shape == (60, 80, 3)


def test_damaged_packets_are_passed_over(tmp_path, plain) -> None:
    content = bytearray(plain.read_bytes())
    start = content.find(b"mdat") + 4
    size = int.from_bytes(content[start - 8 : start - 4], "big")
    rng = np.random.default_rng(1)
    content[start + size // 3 : start + size // 2] = rng.bytes(size // 2 - size // 3)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    numbers = [p.time_s for p in read_pictures(path)]
    assert len(numbers) >= 10
    assert numbers == sorted(set(numbers))


def test_a_video_of_nothing_but_damage_is_refused(tmp_path, plain) -> None:
    content = bytearray(plain.read_bytes())
    start = content.find(b"mdat") + 4
    size = int.from_bytes(content[start - 8 : start - 4], "big") - 8
    content[start : start + size] = b"\xff" * size
    path = tmp_path / "noise.mp4"
    path.write_bytes(content)
    with pytest.raises(PhotoError, match=r"noise.mp4: holds no picture; give a video that plays"):
        list(read_pictures(path))


def test_a_cut_file_gives_the_frames_it_has(tmp_path) -> None:
    whole = write(tmp_path / "whole.mkv")
    path = tmp_path / "cut.mkv"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert 3 <= len(list(read_pictures(path))) < 30


def test_pictures_come_one_at_a_time(plain) -> None:
    pictures = read_pictures(plain)
    assert next(pictures).number == 0
    pictures.close()


@pytest.mark.parametrize("read", [read_facts, lambda path: next(read_pictures(path))])
def test_what_is_no_video_is_refused(tmp_path, read) -> None:
    empty, text = tmp_path / "empty.mp4", tmp_path / "text.mp4"
    empty.touch()
    text.write_text("no video")
    with pytest.raises(PhotoError, match=r"none.mp4: does not exist or is no file; check"):
        read(tmp_path / "none.mp4")
    with pytest.raises(PhotoError, match=r"empty.mp4: is empty \(0 bytes\)"):
        read(empty)
    with pytest.raises(PhotoError, match=r"text.mp4: is no video .*; give a video that plays"):
        read(text)
    with pytest.raises(PhotoError, match=r"sound.mp4: holds no moving picture"):
        read(write_sound(tmp_path / "sound.mp4"))
    bare = tmp_path / "bare.mkv"
    whole = write(tmp_path / "whole.mkv").read_bytes()
    bare.write_bytes(whole[: whole.index(b"\x1f\x43\xb6\x75")])  # up to the first cluster
    with pytest.raises(PhotoError, match=r"bare.mkv: (holds no picture|is no video .*); give"):
        read(bare)


def test_missing_extra_is_named(plain, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"needs PyAV.*pip install 'mobilegeo\[video\]'"):
        read_facts(plain)
