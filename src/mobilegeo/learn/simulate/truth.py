"""Where each simulated view is, as the rows of `truth.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from mobilegeo.learn.datasets.simulated_views import TRUTH_COLUMNS
from mobilegeo.learn.simulate.ground import Ground
from mobilegeo.learn.simulate.planning import PlannedPlace, drone_name, start_deg
from mobilegeo.learn.simulate.settings import Settings, spiral


def truth_rows(ground: Ground, place: PlannedPlace, settings: Settings) -> list[dict[str, Any]]:
    """One row for each file of a place; none where its ground has no georeference."""
    site = place.site
    centre = ground.position(site, 0.0, 0.0)
    if centre is None:
        return []
    turn_deg = ground.convergence_deg(site)
    at = {"lat": f"{centre.lat:.8f}", "lon": f"{centre.lon:.8f}"}
    rows: list[dict[str, Any]] = []
    for view in spiral(settings, site.footprint_m, start_deg(place, settings)):
        camera = ground.position(site, view.east_m, view.north_m)
        assert camera is not None
        known = {
            **at,
            "heading_deg": f"{(view.heading_deg + turn_deg) % 360.0:.3f}",
            "agl_m": f"{view.height_m:.2f}",
            "camera_lat": f"{camera.lat:.8f}",
            "camera_lon": f"{camera.lon:.8f}",
            "pitch_deg": f"{settings.pitch_deg:g}",
            "hfov_deg": f"{settings.hfov_deg:g}",
        }
        rows += [
            {"photo": f"{folder}/{place.id}/{drone_name(view.number)}", **known}
            for folder in place.drone_folders
        ]
    heading = {"heading_deg": f"{turn_deg % 360.0:.3f}", "footprint_m": f"{site.footprint_m:g}"}
    rows += [
        {"photo": f"{folder}/{place.id}/{place.id}.jpg", **at, **heading}
        for folder in place.satellite_folders
    ]
    return rows


def as_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The rows under their header."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, TRUTH_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()
