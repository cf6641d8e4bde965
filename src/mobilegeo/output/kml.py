"""KML 2.2: a placemark a fix and its uncertainty as a circle of two sigma on the ground."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from mobilegeo.fix import Fix
from mobilegeo.geo import LatLon, destination
from mobilegeo.output.text import finite, position, summary_line
from mobilegeo.output.xml_file import add, degrees, write_xml

KML = "http://www.opengis.net/kml/2.2"
CIRCLE_VERTICES = 64
"""A polygon of 64 sides stays within 0.12 % of the radius of its circle."""


def write_kml(fixes: Sequence[Fix], path: Path) -> None:
    """Writes a document with two folders, fixes and uncertainty; photos without a fix stay out.

    A circle that crosses the antimeridian is drawn the long way round by viewers.
    """
    root = ElementTree.Element("kml", {"xmlns": KML})
    document = add(root, "Document")
    add(document, "name", "MobileGeo fixes")
    _add_circle_style(document)
    points, circles = add(document, "Folder"), add(document, "Folder")
    add(points, "name", "Fixes")
    add(circles, "name", "Uncertainty (2 sigma)")
    for fix in fixes:
        where = position(fix)
        if where is None:
            continue
        _add_point(points, fix, where)
        sigma_m = finite(fix.sigma_m)
        if sigma_m is not None and sigma_m > 0:
            _add_circle(circles, fix.photo, where, 2 * sigma_m)
    write_xml(root, path)


def _add_circle_style(document: ElementTree.Element) -> None:
    style = add(document, "Style")
    style.set("id", "uncertainty")
    add(add(style, "LineStyle"), "color", "ffdc8c1e")  # aabbggrr
    add(add(style, "PolyStyle"), "color", "33dc8c1e")


def _add_point(folder: ElementTree.Element, fix: Fix, where: LatLon) -> None:
    placemark = add(folder, "Placemark")
    add(placemark, "name", fix.photo)
    add(placemark, "description", summary_line(fix))
    add(add(placemark, "Point"), "coordinates", _coordinates([where]))


def _add_circle(folder: ElementTree.Element, name: str, centre: LatLon, radius_m: float) -> None:
    placemark = add(folder, "Placemark")
    add(placemark, "name", name)
    add(placemark, "styleUrl", "#uncertainty")
    polygon = add(placemark, "Polygon")
    add(polygon, "tessellate", "1")
    ring = add(add(polygon, "outerBoundaryIs"), "LinearRing")
    # KML wants outer rings counterclockwise and closed.
    bearings = [-360.0 * step / CIRCLE_VERTICES for step in range(CIRCLE_VERTICES)]
    outline = [destination(centre, bearing, radius_m) for bearing in bearings]
    add(ring, "coordinates", _coordinates([*outline, outline[0]]))


def _coordinates(points: Sequence[LatLon]) -> str:
    return " ".join(f"{degrees(point.lon)},{degrees(point.lat)}" for point in points)
