"""Projection over relief, against a block on flat ground that was photographed by tracing rays."""

from __future__ import annotations

import numpy as np
import pytest

from locate_kit import (
    BlockEncoder,
    Ground,
    a_view,
    pixel_centres,
    plain_basis,
    seen_ground,
)
from mobilegeo.locate.correlate import MapSpectrum
from mobilegeo.locate.normalise import project
from mobilegeo.locate.relief import SurfaceModel, project_relief
from mobilegeo.locate.template import (
    covered_cells,
    make_templates,
    template_patch,
    visible_centre,
)
from mobilegeo.maps.descriptors import DescriptorBasis
from mobilegeo.maps.tiling import Extent

GROUND = Ground(side_m=600.0, grain_m=(10.0, 20.0))
BLOCK = Extent(-20.0, -10.0, 20.0, 50.0)
ROOF_M = 24.0
WALL = (255, 0, 255)


class Block:
    """A flat roof on level ground, in cells of 2 m; `datum_m` is the ground's height."""

    def __init__(self, roof_m=ROOF_M, datum_m=431.0, known=True):
        self.roof_m, self.datum_m, self.known = roof_m, datum_m, known

    def heights(self, box):
        west, south = 2 * np.floor(box.west_m / 2), 2 * np.floor(box.south_m / 2)
        east, north = 2 * np.ceil(box.east_m / 2), 2 * np.ceil(box.north_m / 2)
        x, y = np.meshgrid(np.arange(west + 1, east, 2), np.arange(north - 1, south, -2))
        heights = self.datum_m + self.roof_m * inside(x, y)
        return heights.astype(np.float32), Extent(west, south, east, north)

    def ground_m(self, x_m, y_m):
        return self.datum_m if self.known else None


def inside(x, y, margin_m=0.0):
    return (
        (x > BLOCK.west_m - margin_m)
        & (x < BLOCK.east_m + margin_m)
        & (y > BLOCK.south_m - margin_m)
        & (y < BLOCK.north_m + margin_m)
    )


def photo_of_block(view, x_m, y_m, roof_m=ROOF_M):
    """What a camera above (x, y) sees; the walls are magenta."""
    u, v = pixel_centres(view.width_px, view.height_px)
    ground = [a + b for a, b in zip((x_m, y_m), seen_ground(view, u, v), strict=True)]
    low = a_view(**{**view.__dict__, "agl_m": view.agl_m - roof_m})
    top = [a + b for a, b in zip((x_m, y_m), seen_ground(low, u, v), strict=True)]
    wall = np.zeros(u.shape, dtype=bool)
    for share in np.linspace(0.0, 1.0, 257):
        wall |= inside(*(g * share + t * (1 - share) for g, t in zip(ground, top, strict=True)))
    image = GROUND.colours(*ground)
    image[wall] = WALL
    on_roof = inside(*top)
    image[on_roof] = GROUND.colours(*top)[on_roof]
    return np.rint(image).astype(np.uint8)


def points(patch, place):
    """x and y of the patch's pixel centres in the frame."""
    size = len(patch.valid)
    steps = (np.arange(size) + 0.5 - size / 2) * patch.gsd_m
    x, y = np.meshgrid(patch.east_m + steps, patch.north_m - steps)
    return x + place[0], y + place[1]


OBLIQUE = {"width_px": 480, "height_px": 360, "hfov_deg": 75.0}


@pytest.mark.parametrize(
    ("pose", "place"),
    [
        ({"pitch_deg": -55.0, "heading_deg": 0.0}, (0.0, -75.0)),
        ({"pitch_deg": -60.0, "heading_deg": 90.0}, (-80.0, 10.0)),
        ({"pitch_deg": -58.0, "heading_deg": 225.0, "roll_deg": 4.0}, (55.0, 75.0)),
        ({"pitch_deg": -90.0, "heading_deg": 30.0, "agl_m": 80.0}, (30.0, 0.0)),
    ],
)
def test_roof_and_ground_land_where_the_map_has_them(pose, place):
    view = a_view(**OBLIQUE, **pose)
    photo = photo_of_block(view, *place)
    options = {"gsd_m": 0.5, "size_px": 240, "centre": visible_centre(view)}
    patch = project_relief(photo, view, Block(), place, **options)
    x, y = points(patch, place)
    # Between the cells at its edge the surface is a slope and not a wall.
    away = ~(inside(x, y, 4.0) & ~inside(x, y, -4.0))
    error = np.abs(patch.image - GROUND.colours(x, y)).max(axis=2)
    roof = inside(x, y)
    assert (patch.valid & roof & away).sum() > 2000
    # At the rim of what is hidden the clearance lets a strip of a metre or two through.
    for part in (roof, ~roof):
        assert np.percentile(error[patch.valid & part & away], 95) < 8.0
    flat = project(photo, view, **options)
    off = np.abs(flat.image - GROUND.colours(x, y)).max(axis=2)
    assert np.median(off[flat.valid & roof & away]) > 20.0


def test_ground_behind_the_block_is_hidden_and_painted_in_from_around():
    view = a_view(**OBLIQUE, pitch_deg=-55.0, heading_deg=0.0)
    place = (0.0, -75.0)
    photo = photo_of_block(view, *place)
    patch = project_relief(photo, view, Block(), place, gsd_m=0.5, size_px=320, centre=(0.0, 125.0))
    x, y = points(patch, place)
    # The line of sight over the roof's far edge meets the ground this far behind it.
    length = (BLOCK.north_m - place[1]) * ROOF_M / (view.agl_m - ROOF_M)
    across = np.abs(x) < 12.0
    behind = across & (y > BLOCK.north_m + 4.0) & (y < BLOCK.north_m + length - 4.0)
    assert (~patch.valid)[behind].mean() > 0.95
    beyond = across & (y > BLOCK.north_m + length + 4.0) & (patch.valid | patch.hidden)
    assert beyond.any()
    assert patch.valid[beyond].all()
    assert not (patch.hidden & patch.valid).any()
    assert (patch.coloured == (patch.valid | patch.hidden)).all()
    # Near its edge the hidden ground has colours of what is around, none of the wall's; what is
    # far from anything seen stays empty, as outside of the photo.
    edge = behind & (y < BLOCK.north_m + 6.0)
    assert patch.hidden[edge].all()
    middle = behind & (np.abs(y - BLOCK.north_m - length / 2) < 4.0)
    assert not patch.coloured[middle].any()
    assert (patch.image[middle] == 0).all()
    assert np.abs(patch.image[edge].astype(int) - WALL).max(axis=1).min() > 60


def test_on_level_ground_nothing_changes():
    view = a_view(pitch_deg=-62.0, heading_deg=77.0, roll_deg=3.0)
    photo = GROUND.photo(view, 12.0, -8.0)
    options = {"gsd_m": 0.5, "size_px": 192, "centre": visible_centre(view)}
    flat = project(photo, view, **options)
    over = project_relief(photo, view, Block(roof_m=0.0), (12.0, -8.0), **options)
    assert (flat.valid == over.valid).mean() > 0.999
    both = flat.valid & over.valid
    # OpenCV interpolates with 5 bits of a pixel.
    assert np.abs(flat.image[both].astype(int) - over.image[both]).max() <= 6
    assert not over.hidden.any()


def test_holes_are_level_with_the_ground_and_a_surface_without_data_is_none():
    class Hole(Block):
        def heights(self, box):
            heights, covered = super().heights(box)
            return np.full_like(heights, np.nan), covered

    view = a_view(pitch_deg=-70.0)
    photo = GROUND.photo(view)
    options = {"gsd_m": 0.5, "size_px": 128, "centre": visible_centre(view)}
    flat = project(photo, view, **options)
    hole = project_relief(photo, view, Hole(), (0.0, 0.0), **options)
    assert np.abs(flat.image.astype(int) - hole.image)[flat.valid & hole.valid].max() <= 6
    assert project_relief(photo, view, Block(known=False), (0.0, 0.0), **options) is None


def test_ground_in_view_serves_where_the_map_ends_before_the_camera():
    class Half(Block):
        def ground_m(self, x_m, y_m):
            return self.datum_m if y_m > -50 else None

    view = a_view(**OBLIQUE, pitch_deg=-55.0)
    place = (0.0, -75.0)
    photo = photo_of_block(view, *place)
    options = {"gsd_m": 0.5, "size_px": 128, "centre": visible_centre(view)}
    whole = project_relief(photo, view, Block(), place, **options)
    half = project_relief(photo, view, Half(), place, **options)
    assert (whole.image == half.image).all()


@pytest.mark.parametrize("agl_m", [0.5, 3.0, 20_000.0])
def test_heights_under_the_roof_and_far_above_are_bounded_in_time_and_memory(agl_m):
    view = a_view(agl_m=agl_m, pitch_deg=-50.0)
    photo = np.full((180, 240, 3), 90, np.uint8)
    patch = project_relief(
        photo, view, Block(), (0.0, 20.0), gsd_m=0.5, size_px=384, centre=visible_centre(view)
    )
    assert patch.image.shape == (384, 384, 3)


def test_a_template_over_relief_fits_the_map_better_than_one_on_a_plane():
    view = a_view(**OBLIQUE, pitch_deg=-55.0, heading_deg=0.0)
    place = (0.0, -75.0)
    photo = photo_of_block(view, *place)
    encoder = BlockEncoder()
    surface: SurfaceModel = Block()
    patches = [
        template_patch(photo, view, encoder.spec),
        template_patch(photo, view, encoder.spec, surface, place),
    ]
    # Without a place, or where the surface knows nothing, the ground is a plane.
    for plain in (
        template_patch(photo, view, encoder.spec, surface),
        template_patch(photo, view, encoder.spec, Block(known=False), place),
    ):
        assert (plain.image == patches[0].image).all()
    map_image = GROUND.colours(*points(patches[0], place)).astype(np.uint8)
    features = encoder.features(map_image[None])[0]
    basis = DescriptorBasis.of(features.reshape(-1, 9))
    valid = np.ones(features.shape[:2], dtype=bool)
    spectrum = MapSpectrum(basis.unit(features, valid), valid, len(valid))
    middle = len(valid) // 2
    flat, over = (
        float(spectrum.correlate(template)[middle, middle])
        for template in make_templates(patches, encoder, basis)
    )
    assert over > flat + 0.1
    assert over > 0.8


def test_hidden_cells_do_not_count_but_are_not_grey():
    view = a_view(**OBLIQUE, pitch_deg=-55.0, heading_deg=0.0)
    photo = photo_of_block(view, 0.0, -75.0)
    encoder = BlockEncoder()
    seen = []

    class Watching(BlockEncoder):
        def features(self, images):
            seen.append(images)
            return super().features(images)

    patch = template_patch(photo, view, encoder.spec, Block(), (0.0, -75.0))
    (template,) = make_templates([patch], Watching(), plain_basis(9))
    assert (template.valid == covered_cells(patch.valid, 8, 0.75)).all()
    grey = (seen[0][0] == 128).all(axis=2)
    assert grey[~patch.coloured].all()
    assert not grey[patch.hidden].any()
