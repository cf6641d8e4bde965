"""A track as a file: JSONL, CSV, GeoJSON, GPX or KML, by extension."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from datetime import UTC
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from mobilegeo.output.atomic import write_atomically
from mobilegeo.output.formats import chosen_writer
from mobilegeo.output.gpx import EXTENSION, GPX
from mobilegeo.output.kml import KML
from mobilegeo.output.text import json_ready
from mobilegeo.output.xml_file import add, degrees, write_xml
from mobilegeo.track.records import TrackPoint

Points = Sequence[TrackPoint]


def track_json_line(point: TrackPoint) -> str:
    """The record on one line of ASCII JSON, without a line end."""
    return json.dumps(json_ready(point.to_record()), allow_nan=False)


def spans(points: Points) -> Iterator[Points]:
    """The unbroken parts of a track: lost points divide it."""
    start = 0
    for index, point in enumerate([*points, None]):
        if point is None or point.lat is None:
            if index > start:
                yield points[start:index]
            start = index + 1


def write_track(points: Points, path: str | Path) -> None:
    """Writes a track in the format that the file's extension names.

    Raises:
        UsageError: no format has that extension, or the file cannot be written.
    """
    track_writer_for(path)(points, Path(path))


def track_writer_for(path: str | Path) -> Callable[[Points, Path], None]:
    """The writer for a file name, to be asked before the work rather than after.

    Raises:
        UsageError: no format has that extension, or the folder does not exist.
    """
    return chosen_writer(path, WRITERS)


def _write_jsonl(points: Points, path: Path) -> None:
    lines = "".join(track_json_line(point) + "\n" for point in points)
    write_atomically(path, lines.encode("ascii"))


def _write_csv(points: Points, path: Path) -> None:
    """As RFC 4180 wants it; what is unknown is an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    columns = [f.name for f in fields(TrackPoint)]
    writer.writerow(columns)
    for point in points:
        record = point.to_record()
        writer.writerow([json_ready(record[column]) for column in columns])
    write_atomically(path, text.getvalue().encode("utf-8", errors="surrogateescape"))


def _write_geojson(points: Points, path: Path) -> None:
    """RFC 7946: a line for every unbroken part, then a point for every frame."""
    features: list[dict[str, Any]] = [
        {
            "type": "Feature",
            "geometry": {"type": "LineString", "coordinates": [[p.lon, p.lat] for p in part]},
            "properties": {"start_s": part[0].time_s, "end_s": part[-1].time_s},
        }
        for part in spans(points)
        if len(part) > 1
    ]
    features += [
        {
            "type": "Feature",
            "geometry": None if p.lat is None else {"type": "Point", "coordinates": [p.lon, p.lat]},
            "properties": json_ready(p.to_record()),
        }
        for p in points
    ]
    collection = {"type": "FeatureCollection", "features": features}
    write_atomically(path, json.dumps(collection, allow_nan=False).encode("ascii"))


def _write_gpx(points: Points, path: Path) -> None:
    """GPX 1.1: a track with a segment for every unbroken part; lost points stay out.

    Times stand in UTC where the offset is known, otherwise as the camera's clock had them.
    """
    ElementTree.register_namespace("mobilegeo", EXTENSION)
    root = ElementTree.Element("gpx", {"version": "1.1", "creator": "MobileGeo", "xmlns": GPX})
    track = add(root, "trk")
    add(track, "name", "MobileGeo track")
    for part in spans(points):
        segment = add(track, "trkseg")
        for point in part:
            _add_track_point(segment, point)
    write_xml(root, path)


def _add_track_point(segment: ElementTree.Element, point: TrackPoint) -> None:
    assert point.lat is not None, "spans hold points that are told"
    assert point.lon is not None, "lat and lon come together"
    element = add(segment, "trkpt")
    element.set("lat", degrees(point.lat))
    element.set("lon", degrees(point.lon))
    clock = _clock(point)
    if clock is not None:
        add(element, "time", clock)
    extensions = add(element, "extensions")
    add(extensions, f"{{{EXTENSION}}}status", point.status)
    for name in ("sigma_m", "speed_m_s", "course_deg", "heading_deg"):
        value = getattr(point, name)
        if value is not None:
            add(extensions, f"{{{EXTENSION}}}{name}", f"{value:.3f}")


def _clock(point: TrackPoint) -> str | None:
    if point.time is None:
        return None
    if point.time.tzinfo is None:
        return point.time.isoformat(timespec="milliseconds")
    stamp = point.time.astimezone(UTC).replace(tzinfo=None)
    return stamp.isoformat(timespec="milliseconds") + "Z"


def _write_kml(points: Points, path: Path) -> None:
    """KML 2.2: a line for every unbroken part, with its time span, green where it was seen."""
    root = ElementTree.Element("kml", {"xmlns": KML})
    document = add(root, "Document")
    add(document, "name", "MobileGeo track")
    style = add(document, "Style")
    style.set("id", "track")
    line_style = add(style, "LineStyle")
    add(line_style, "color", "ff838a0b")  # aabbggrr
    add(line_style, "width", "3")
    for number, part in enumerate(spans(points), start=1):
        placemark = add(document, "Placemark")
        add(placemark, "name", f"Part {number}")
        sigma = max(p.sigma_m or 0.0 for p in part)
        add(placemark, "description", f"{len(part)} frames, sigma up to {sigma:.1f} m")
        _add_time_span(placemark, part)
        add(placemark, "styleUrl", "#track")
        line = add(placemark, "LineString")
        add(line, "tessellate", "1")
        add(line, "coordinates", " ".join(f"{degrees(p.lon)},{degrees(p.lat)}" for p in part))  # type: ignore[arg-type]
    write_xml(root, path)


def _add_time_span(placemark: ElementTree.Element, part: Points) -> None:
    begin, end = _clock(part[0]), _clock(part[-1])
    if begin is not None and end is not None:
        span = add(placemark, "TimeSpan")
        add(span, "begin", begin)
        add(span, "end", end)


WRITERS: dict[str, Callable[[Points, Path], None]] = {
    ".jsonl": _write_jsonl,
    ".csv": _write_csv,
    ".geojson": _write_geojson,
    ".gpx": _write_gpx,
    ".kml": _write_kml,
}
"""To add a format: one function, one line here."""
