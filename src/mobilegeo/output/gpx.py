"""GPX 1.1: a waypoint a fix, in the order of the photos.

Photos without a fix are left out: a GPX waypoint must have a position. `hdop` stays out too: it
is a figure of satellite geometry, not an uncertainty in metres; sigma is an extension instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from mobilegeo.fix import Fix
from mobilegeo.geo import LatLon, wrap_deg
from mobilegeo.output.text import finite, position, summary_line
from mobilegeo.output.xml_file import add, degrees, write_xml

GPX = "http://www.topografix.com/GPX/1/1"
EXTENSION = "urn:mobilegeo:gpx:1"
"""Namespace of sigma_m, confidence and heading_deg."""


def write_gpx(fixes: Sequence[Fix], path: Path) -> None:
    """Writes the waypoints."""
    ElementTree.register_namespace("mobilegeo", EXTENSION)
    root = ElementTree.Element("gpx", {"version": "1.1", "creator": "MobileGeo", "xmlns": GPX})
    for fix in fixes:
        where = position(fix)
        if where is not None:
            _add_waypoint(root, fix, where)
    write_xml(root, path)


def _add_waypoint(root: ElementTree.Element, fix: Fix, where: LatLon) -> None:
    waypoint = add(root, "wpt")
    waypoint.set("lat", degrees(where.lat))
    waypoint.set("lon", degrees(wrap_deg(where.lon)))  # the schema excludes 180
    add(waypoint, "name", fix.photo)
    add(waypoint, "desc", summary_line(fix))
    extensions = add(waypoint, "extensions")
    for name in ("sigma_m", "confidence", "heading_deg"):
        value = finite(getattr(fix, name))
        if value is not None:
            add(extensions, f"{{{EXTENSION}}}{name}", f"{value:.3f}")
