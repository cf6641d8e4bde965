"""The map of an adaptation: blocks that share no ground, and maps that cannot serve."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mobilegeo.errors import MapError, UsageError  # noqa: E402
from mobilegeo.learn.adapt.budget import Budget  # noqa: E402
from mobilegeo.learn.adapt.ground import Block, Ground  # noqa: E402
from mobilegeo.learn.adapt.training import schedule  # noqa: E402
from mobilegeo.learn.adapt.views import Simulator  # noqa: E402
from mobilegeo.world.geotiff import write_geotiff  # noqa: E402

UTM, CORNER = "EPSG:32632", (500_000.0, 5_250_000.0)


def texture(height: int, width: int) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(5, 245, (height // 8, width // 8, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)


def write_map(path: Path, image: np.ndarray, gsd_m: float = 0.5) -> Path:
    write_geotiff(path, image, UTM, CORNER, gsd_m)
    return path


def ground(*paths: Path, dsm: Path | None = None, size_px: int = 64, seed: int = 0) -> Ground:
    return Ground(paths, dsm, size_px, seed)


def overlap(a: Block, b: Block) -> bool:
    return (
        min(a.west_m + a.width_m, b.west_m + b.width_m) - max(a.west_m, b.west_m) > 1e-6
        and min(a.north_m, b.north_m) - max(a.north_m - a.depth_m, b.north_m - b.depth_m) > 1e-6
    )


@pytest.mark.parametrize(
    ("width", "depth", "blocks"), [(300, 300, 4), (200, 900, 4), (1300, 700, 6)]
)
def test_blocks_are_large_and_share_no_ground(
    tmp_path: Path, width: int, depth: int, blocks: int
) -> None:
    made = ground(write_map(tmp_path / "a.tif", texture(depth, width), 1.0))
    assert len(made.blocks) == blocks
    assert not any(overlap(a, b) for a, b in combinations(made.blocks, 2))
    assert max(max(b.width_m, b.depth_m) for b in made.blocks) <= 600.0
    area = sum(b.width_m * b.depth_m for b in made.blocks)
    assert area == pytest.approx(width * depth, rel=0.03)  # the box is turned by the convergence


def test_the_split_holds_out_whole_blocks(tmp_path: Path) -> None:
    made = ground(write_map(tmp_path / "a.tif", texture(2304, 2896), 1.0))
    train, held_out = made.split(3)
    assert len(made.blocks) == 20
    assert len(held_out) == 4
    assert {b.number for b in train} | {b.number for b in held_out} == set(range(20))
    assert made.split(3) == (train, held_out)
    assert made.split(4)[1] != held_out


def test_a_block_shows_its_own_ground_at_its_resolution(tmp_path: Path) -> None:
    image = texture(600, 600)
    heights = np.add.outer(np.linspace(0.0, 30.0, 300), np.zeros(300)).astype(np.float32)
    write_geotiff(tmp_path / "dsm.tif", heights, UTM, CORNER, 1.0)
    made = ground(write_map(tmp_path / "a.tif", image, 0.5), dsm=tmp_path / "dsm.tif")
    assert made.gsd_m == pytest.approx(40 / 64)
    south = max(made.blocks, key=lambda b: -b.north_m)
    source = made.source(south)
    assert source.width_m == pytest.approx(south.width_m, abs=made.gsd_m)
    assert source.height_m is not None
    assert source.height_m.shape == source.image.shape[:2]
    assert np.isfinite(source.height_m).all()
    assert 14.0 < source.height_m.mean() < 31.0
    assert made.source(south) is source


def test_places_of_a_block_stay_in_it(tmp_path: Path) -> None:
    made = ground(write_map(tmp_path / "a.tif", texture(600, 600)))
    block = made.blocks[1]
    for pair in Simulator(made, Trunk(), 64, 0).pairs(block).group(0):
        half = pair.square.side_m / 2
        assert half <= pair.square.x_m <= block.width_m - half
        assert half <= pair.square.y_m <= block.depth_m - half


def test_a_map_may_be_too_small(tmp_path: Path) -> None:
    with pytest.raises(MapError, match=r"is 1\d\d × 1\d\d m, too small .* at least 180 × 180 m"):
        ground(write_map(tmp_path / "a.tif", texture(240, 240)))


def test_a_map_may_be_too_coarse(tmp_path: Path) -> None:
    with pytest.raises(MapError, match=r"has pixels of 10\.0 m, too coarse .* 7\.0 m a pixel"):
        ground(write_map(tmp_path / "a.tif", texture(160, 160), 10.0))


@pytest.mark.parametrize("value", [0, 120, 255])
def test_a_map_may_show_nothing(tmp_path: Path, value: int) -> None:
    image = np.full((600, 600, 3), value, np.uint8)
    with pytest.raises(MapError, match="shows too little to recognise"):
        ground(write_map(tmp_path / "a.tif", image))


def test_the_surface_model_may_be_of_elsewhere(tmp_path: Path) -> None:
    heights = np.ones((300, 300), np.float32)
    write_geotiff(tmp_path / "dsm.tif", heights, UTM, (600_000.0, 5_250_000.0), 1.0)
    path = write_map(tmp_path / "a.tif", texture(600, 600))
    with pytest.raises(UsageError, match=r"dsm\.tif: has no heights where the map has imagery"):
        ground(path, dsm=tmp_path / "dsm.tif")


def test_the_surface_model_may_cover_a_part(tmp_path: Path) -> None:
    heights = np.ones((150, 300), np.float32)
    write_geotiff(tmp_path / "dsm.tif", heights, UTM, CORNER, 1.0)
    made = ground(write_map(tmp_path / "a.tif", texture(600, 600)), dsm=tmp_path / "dsm.tif")
    assert len(made.with_heights) == 2
    flat = [made.source(b).height_m is None for b in made.blocks]
    assert flat == [b.number not in made.with_heights for b in made.blocks]


class Trunk:
    """Stands for a session: averages of colours as features of stride 16."""

    def run(self, names: list[str], feeds: dict[str, np.ndarray], options: object) -> list:
        image = feeds["image"]
        cells = image.reshape(len(image), 3, image.shape[2] // 16, 16, -1, 16)
        return [cells.mean(axis=(3, 5))]


def test_blocks_without_places_are_told(tmp_path: Path) -> None:
    """Stripes of white, nearer than any view is wide: blocks with texture, but no whole place."""
    image = texture(600, 600)
    image[:, np.arange(600) % 40 < 16] = 255
    made = ground(write_map(tmp_path / "a.tif", image))
    ticks = iter(range(1000))
    stage = Budget(1.0, lambda: float(next(ticks))).stage("views", 5.0, lambda *_: None)
    with pytest.raises(MapError, match="shows no place that could be recognised"):
        Simulator(made, Trunk(), 64, 0).views(made.blocks, tmp_path, stage, least=1, most=9)


def test_the_rate_rises_and_has_come_down_when_time_is_over() -> None:
    assert schedule(0.0) == 0.0
    assert schedule(0.5) == pytest.approx(0.5)
    assert schedule(1.0) == pytest.approx(0.0, abs=1e-12)
    assert max(schedule(share) for share in np.linspace(0, 1, 101)) > 0.95
