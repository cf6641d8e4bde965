"""The map itself as a layer of a pack: kept, cut out again, resumed, told of."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from maps_kit import FakeEncoder, PlainSource, folder_hashes, painted_raster
from mobilegeo.cli import app
from mobilegeo.errors import PackError
from mobilegeo.maps import build as building
from mobilegeo.maps.build import build_pack
from mobilegeo.maps.chunks import fill_window
from mobilegeo.maps.imagery import JPEG_QUALITY
from mobilegeo.maps.pack import MapPack, pack_info
from mobilegeo.maps.record import record_hash
from mobilegeo.maps.tiling import Extent

OPTIONS = {"footprints_m": (30.0,), "imagery": True}
HOLE = (-40.0, -20.0, 10.0, 30.0)


class WavySource(PlainSource):
    """Smooth waves, which JPEG keeps, so that pixels can be compared."""

    def read(self, frame, x_m, y_m, gsd_m, width, height):
        patch = super().read(frame, x_m, y_m, gsd_m, width, height)
        x = x_m + (np.arange(width) + 0.5) * gsd_m
        y = y_m - (np.arange(height) + 0.5) * gsd_m
        patch.image[...] = waves(*np.meshgrid(x, y)) * patch.valid[..., None]
        return patch


def waves(x, y):
    parts = [np.sin(x / 17.0), np.sin(y / 23.0), np.sin((x + y) / 31.0)]
    return np.rint(128 + 90 * np.stack(parts, axis=-1)).astype(np.uint8)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A pack of 300 × 200 m with imagery; not to be changed."""
    out = tmp_path_factory.mktemp("imagery") / "area.pack"
    build_pack(WavySource(), out, FakeEncoder(), **OPTIONS)
    return out


@pytest.mark.parametrize(
    "box", [Extent(-60.3, -40.2, 55.1, 61.9), Extent(-149.0, -99.0, 149.0, 99.0)]
)
def test_a_pack_gives_back_its_map(built, box):
    pack = MapPack.open(built)
    patch, covered = pack.imagery.patch(box)
    gsd_m = pack.spec.feature_gsd_m
    assert covered.west_m <= box.west_m < covered.west_m + gsd_m
    assert covered.north_m - gsd_m < box.north_m <= covered.north_m
    height, width = patch.valid.shape
    assert (width, height) == (round(covered.width_m / gsd_m), round(covered.height_m / gsd_m))
    x = covered.west_m + (np.arange(width) + 0.5) * gsd_m
    y = covered.north_m - (np.arange(height) + 0.5) * gsd_m
    wanted = waves(*np.meshgrid(x, y)).astype(int)
    inside = patch.valid & (np.abs(x) < 140)[None] & (np.abs(y) < 90)[:, None]
    assert inside.mean() > 0.8
    # A pixel aside would be wrong by up to 90 gsd / 17 a channel; JPEG by a few.
    assert np.abs(patch.image - wanted)[inside].mean() < 3.0


def test_beyond_the_map_nothing_is_valid(built):
    patch, covered = MapPack.open(built).imagery.patch(Extent(9000.0, 0.0, 9050.0, 20.0))
    assert not patch.valid.any()
    assert not patch.image.any()
    assert covered == Extent(9000.0, 0.0, 9050.0, 20.0)


def test_where_descriptors_have_no_data_imagery_has_none(tmp_path):
    out = tmp_path / "area.pack"
    pack = build_pack(WavySource(hole=HOLE), out, FakeEncoder(), **OPTIONS)
    box = Extent(-80.0, -64.0, 80.0, 64.0)
    patch, covered = pack.imagery.patch(box)
    assert covered == box
    cell_m, stride = pack.spec.cell_m, pack.spec.feature_stride_px
    left, low = round(box.west_m / cell_m), round(box.south_m / cell_m)
    wide, high = round(box.width_m / cell_m), round(box.height_m / cell_m)
    _, cells = pack.features(left, low, wide, high)
    assert not cells.all()
    assert (patch.valid == cells.repeat(stride, 0).repeat(stride, 1)).all()


def test_what_a_pack_says_of_its_imagery(built):
    facts = pack_info(MapPack.open(built))
    files = list((built / "imagery").iterdir())
    assert len(files) == facts["feature_chunks"]
    assert facts["imagery"] == {
        "gsd_m": MapPack.open(built).spec.feature_gsd_m,
        "quality": JPEG_QUALITY,
        "bytes": sum(file.stat().st_size for file in files),
    }
    outcome = CliRunner().invoke(app, ["map", "info", str(built)])
    assert "imagery  " in outcome.stdout
    assert "m a pixel, " in outcome.stdout


def test_a_pack_made_before_there_was_imagery_opens(tmp_path):
    out = tmp_path / "area.pack"
    assert build_pack(PlainSource(), out, FakeEncoder(), footprints_m=(30.0,)).imagery is None
    assert not (out / "imagery").exists()
    record = json.loads((out / "pack.json").read_text())
    del record["imagery"]
    record["record_sha256"] = record_hash(record)
    (out / "pack.json").write_text(json.dumps(record))
    assert MapPack.open(out).imagery is None
    assert pack_info(MapPack.open(out))["imagery"] is None
    assert "imagery  none" in CliRunner().invoke(app, ["map", "info", str(out)]).stdout


def test_a_flipped_byte_of_the_imagery_is_found(built, tmp_path):
    copy = shutil.copytree(built, tmp_path / "area.pack")
    file = next((copy / "imagery").iterdir())
    data = bytearray(file.read_bytes())
    data[-20] ^= 1
    file.write_bytes(data)
    with pytest.raises(PackError, match=file.name + ": was changed after it was written"):
        MapPack.open(copy)


def test_a_build_interrupted_in_the_imagery_is_resumed_alike(built, tmp_path, monkeypatch):
    out, calls, whole = tmp_path / "area.pack", [], building.jpeg

    def failing(image, quality):
        calls.append(image.shape)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(image, quality)

    monkeypatch.setattr(building, "jpeg", failing)
    with pytest.raises(KeyboardInterrupt):
        build_pack(WavySource(), out, FakeEncoder(), **OPTIONS)
    assert not out.exists()
    build_pack(WavySource(), out, FakeEncoder(), resume=True, **OPTIONS)
    assert len(calls) == len(list((out / "imagery").iterdir())) + 1
    assert folder_hashes(out) == folder_hashes(built)


def test_a_build_begun_without_imagery_is_not_resumed_with_it(tmp_path):
    out = tmp_path / "area.pack"
    with pytest.raises(KeyboardInterrupt):
        build_pack(PlainSource(), out, FakeEncoder(fail_after=1), footprints_m=(30.0,))
    with pytest.raises(PackError, match="with or without imagery; repeat the build"):
        build_pack(PlainSource(), out, FakeEncoder(), resume=True, **OPTIONS)


def test_map_build_keeps_imagery_when_asked(tmp_path):
    raster = painted_raster(tmp_path / "map.tif", side_m=90.0)
    command = ["map", "build", str(raster), "-o", str(tmp_path / "p"), "--footprint-m", "80"]
    outcome = CliRunner().invoke(app, [*command, "--imagery", "--json"])
    assert outcome.exit_code == 0
    facts = json.loads(outcome.stdout)["imagery"]
    assert facts["gsd_m"] == 0.5
    file = next((tmp_path / "p" / "imagery").iterdir())
    assert cv2.imread(str(file)).shape == (1024, 1024, 3)


@settings(max_examples=30)
@given(
    west=st.integers(-20, 20),
    south=st.integers(-20, 20),
    width=st.integers(1, 30),
    height=st.integers(1, 30),
)
def test_a_window_is_cut_out_of_chunks(west, south, width, height):
    """Chunks of 8 cells, −1 … 0 both ways but one; every cell holds its own indices."""
    present = [(-1, -1), (-1, 0), (0, -1)]

    def chunk(row, column):
        x, y = np.meshgrid(np.arange(8) + 8 * column, np.arange(7, -1, -1) + 8 * row)
        return np.stack([x, y], axis=-1)

    window = np.full((height, width, 2), 99)
    fill_window(window, west, south, 8, present, chunk)
    x, y = np.meshgrid(np.arange(west, west + width), np.arange(south + height - 1, south - 1, -1))
    inside = (np.abs(x + 0.5) < 8) & (np.abs(y + 0.5) < 8) & ~((x >= 0) & (y >= 0))
    wanted = np.where(inside[..., None], np.stack([x, y], axis=-1), 99)
    assert (window == wanted).all()
