"""What keeps a photo from being located, and where its own position lets it be."""

from __future__ import annotations

import pytest

from maps_kit import HERE
from mobilegeo.locate.obstacles import MARGIN_M, OWN_GPS_RADIUS_M, circle_around


@pytest.mark.parametrize(
    ("sigma_m", "radius_m"),
    [(None, OWN_GPS_RADIUS_M), (0.02, 0.08 + MARGIN_M), (50.0, 200.0 + MARGIN_M)],
)
def test_a_position_is_believed_to_its_spread_and_the_maps_own_error(sigma_m, radius_m) -> None:
    circle = circle_around(HERE, sigma_m)
    assert circle.centre == HERE
    assert circle.radius_m == pytest.approx(radius_m)
