from __future__ import annotations

import errno
import json
import threading

import numpy as np
import pytest

from maps_kit import (
    FakeEncoder,
    PlainSource,
    encode_tile,
    folder_hashes,
    painted_raster,
    painted_tile,
    tile_address,
    write_mbtiles,
)
from mobilegeo.errors import MapError, PackError, ResourceError
from mobilegeo.maps import workspace
from mobilegeo.maps.build import BATCH, build_pack
from mobilegeo.maps.pack import MapPack
from mobilegeo.maps.source import open_map

FOOTPRINTS = (30.0, 60.0)


def build(out, encoder=None, source=None, **options):
    return build_pack(
        source or PlainSource(), out, encoder or FakeEncoder(), footprints_m=FOOTPRINTS, **options
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Files of an uninterrupted build."""
    out = tmp_path_factory.mktemp("pack") / "area.pack"
    build(out)
    return folder_hashes(out)


@pytest.mark.parametrize("calls", [0, 3, 60, 90])
def test_interrupted_and_resumed_is_the_same_to_the_byte(tmp_path, undisturbed, calls):
    out = tmp_path / "area.pack"
    with pytest.raises(KeyboardInterrupt):
        build(out, FakeEncoder(fail_after=calls))
    assert not out.exists()
    assert (tmp_path / "area.pack.partial/progress.json").is_file()
    encoder = FakeEncoder()
    build(out, encoder, resume=True)
    assert folder_hashes(out) == undisturbed
    assert [p.name for p in tmp_path.iterdir()] == ["area.pack"]
    whole = FakeEncoder()
    build(tmp_path / "again.pack", whole)
    if calls >= 60:
        assert encoder.calls < whole.calls


def test_a_killed_build_that_lost_its_last_progress_is_resumed_alike(tmp_path, undisturbed):
    out = tmp_path / "area.pack"
    with pytest.raises(KeyboardInterrupt):
        build(out, FakeEncoder(fail_after=20))
    progress = tmp_path / "area.pack.partial/progress.json"
    state = json.loads(progress.read_text())
    progress.write_text(json.dumps(state | {"done": state["done"][:1]}))
    (tmp_path / "area.pack.partial/features/0_0.tmp.npy").write_bytes(b"half")
    build(out, resume=True)
    assert folder_hashes(out) == undisturbed


def test_batches_are_bounded_and_blocks_read_once(tmp_path):
    encoder, source = FakeEncoder(), PlainSource()
    reads = []
    plain_read = source.read
    source.read = lambda *args: reads.append(threading.current_thread().name) or plain_read(*args)
    stages = []
    pack = build(tmp_path / "p", encoder, source, progress=lambda *event: stages.append(event))
    tile_batches = [shape for shape in encoder.batches if shape[1] == 32]
    assert max(shape[0] for shape in tile_batches) == BATCH
    assert sum(shape[0] for shape in tile_batches) == len(pack.tiles)
    tiles = [event for event in stages if event[0] == "tiles"]
    features = [event for event in stages if event[0] == "features"]
    assert tiles == [("tiles", n + 1, len(tiles)) for n in range(len(tiles))]
    assert features == [("features", n + 1, len(features)) for n in range(len(features))]
    assert len(reads) == len(tiles) + len(features) + 1  # and once for the preview
    assert reads.count("read-ahead_0") == len(tiles) + len(features)


def test_an_unfinished_build_is_not_overwritten_silently(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "p", FakeEncoder(fail_after=5))
    with pytest.raises(PackError, match=r"p\.partial: an unfinished build lies there.*--resume"):
        build(tmp_path / "p")
    with pytest.raises(
        PackError, match="begun with another map, surface model, encoder, footprints"
    ):
        build(tmp_path / "p", FakeEncoder(sha256="cd" * 32), resume=True)
    with pytest.raises(PackError, match="begun with another map"):
        build(tmp_path / "p", source=PlainSource(310.0), resume=True)
    with pytest.raises(PackError, match="begun with another map"):
        build(tmp_path / "p", stride=0.5, resume=True)
    (tmp_path / "p.partial/progress.json").write_text("{")
    with pytest.raises(PackError, match=r"its progress cannot be read.*delete the folder"):
        build(tmp_path / "p", resume=True)


def test_resume_without_a_beginning_just_builds(tmp_path, undisturbed):
    build(tmp_path / "p", resume=True)
    assert folder_hashes(tmp_path / "p") == undisturbed


def test_a_finished_pack_is_replaced_only_on_purpose(tmp_path):
    build(tmp_path / "p")
    with pytest.raises(PackError, match="p: exists already"):
        build(tmp_path / "p")
    pack = build(tmp_path / "p", source=PlainSource(200.0), overwrite=True)
    assert pack.bounds == PlainSource(200.0).bounds
    assert [p.name for p in tmp_path.iterdir()] == ["p"]
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "p", FakeEncoder(fail_after=5), overwrite=True)
    assert MapPack.open(tmp_path / "p").bounds == PlainSource(200.0).bounds
    assert build(tmp_path / "p", overwrite=True).bounds == PlainSource().bounds
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/dear.jpg").write_bytes(b"x")
    with pytest.raises(PackError, match="photos: exists and is no map pack"):
        build(tmp_path / "photos", overwrite=True)
    assert (tmp_path / "photos/dear.jpg").exists()


def test_a_full_disk_can_be_freed_and_the_build_resumed(tmp_path, undisturbed, monkeypatch):
    real = workspace.np.save
    calls = []

    def full(*args):
        calls.append(args)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*args)

    monkeypatch.setattr(workspace.np, "save", full)
    with pytest.raises(ResourceError, match=r"the disk is full; free about \d+ MB .* --resume"):
        build(tmp_path / "p")
    monkeypatch.undo()
    assert not (tmp_path / "p").exists()
    build(tmp_path / "p", resume=True)
    assert folder_hashes(tmp_path / "p") == undisturbed


def test_other_errors_of_the_disk_are_not_disguised(tmp_path, monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(workspace.np, "save", broken)
    with pytest.raises(OSError, match="Input/output error"):
        build(tmp_path / "p")


def test_a_map_without_data_is_refused(tmp_path):
    with pytest.raises(MapError, match="plain: no tile has enough pixels with data"):
        build(tmp_path / "p", source=PlainSource(hole=(-500, -500, 500, 500)))
    assert not (tmp_path / "p").exists()


def test_warnings_of_the_source_are_kept(tmp_path):
    source = PlainSource()
    source.warnings.append("tile z=1 x=0 y=0 is cut short; left out")
    assert build(tmp_path / "p", source=source).record["notes"] == source.warnings


def test_raster_and_tiles_of_one_place_give_the_same_pack(tmp_path):
    """The whole way, from files: a GeoTIFF and MBTiles of the painted world."""
    raster = painted_raster(tmp_path / "m.tif", side_m=130.0, pixel=0.25)
    x0, y0 = tile_address(19)
    keys = [(19, x0 + i, y0 + j) for i in range(-2, 3) for j in range(-2, 3)]
    tiles = {key: encode_tile(painted_tile(*key)) for key in keys}
    sources = [open_map([raster]), open_map([write_mbtiles(tmp_path / "m.mbtiles", tiles)])]
    one, two = (
        build_pack(s, tmp_path / f"{n}.pack", FakeEncoder(), footprints_m=(40.0,))
        for n, s in enumerate(sources)
    )
    assert len(one.tiles) > 50
    nearest = [
        np.hypot(two.tiles.lat - lat, two.tiles.lon - lon).argmin()
        for lat, lon in zip(one.tiles.lat, one.tiles.lon, strict=True)
    ]
    inner = np.abs(one.tiles.x_m) + np.abs(one.tiles.y_m) < 40
    similarity = (one.vectors.astype(float) * two.vectors[nearest]).sum(axis=1)
    # grids are anchored at either map's own middle: places differ by up to half a stride
    assert similarity[inner].min() > 0.5
    assert similarity[inner].mean() > 0.8


def test_opening_after_building_agrees(tmp_path):
    built = build(tmp_path / "p")
    opened = MapPack.open(tmp_path / "p")
    assert np.array_equal(built.vectors, opened.vectors)
    assert built.record == opened.record
