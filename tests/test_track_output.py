"""Tracks as files and as a page."""

from __future__ import annotations

import csv
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from xml.etree import ElementTree

import numpy as np
import pytest

from mobilegeo.errors import UsageError
from mobilegeo.geo import Bounds, LatLon
from mobilegeo.output.report.parts import MapImage
from mobilegeo.output.report.track_page import write_track_report
from mobilegeo.output.track_files import spans, track_json_line, track_writer_for, write_track
from mobilegeo.track.records import Bias, Track, TrackPoint

START = datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone(timedelta(hours=2)))
GPX = {"g": "http://www.topografix.com/GPX/1/1", "m": "urn:mobilegeo:gpx:1"}
KML = {"k": "http://www.opengis.net/kml/2.2"}


def point(n, status="fix"):
    told = status != "lost"
    return TrackPoint(
        frame=f"dir/{n}.jpg",
        time_s=float(n),
        status=status,
        time=START + timedelta(seconds=n),
        lat=0.001 * n if told else None,
        lon=10.0 + 0.001 * n if told else None,
        sigma_m=2.5 if told else None,
        speed_m_s=157.0 if told else None,
        course_deg=45.0 if told else None,
        heading_deg=44.0 if told else None,
        confidence=0.9 if status == "fix" else 0.0,
        reason="" if status == "fix" else "<dark> & blank",
    )


POINTS = (
    point(0), point(1), point(2, "predicted"), point(3, "lost"), point(4, "lost"), point(5),
    point(6),
)  # fmt: skip


def test_spans_end_where_the_track_is_lost() -> None:
    assert [[p.time_s for p in part] for part in spans(POINTS)] == [[0, 1, 2], [5, 6]]
    assert list(spans(())) == []
    assert list(spans(POINTS[3:5])) == []


def test_jsonl(tmp_path) -> None:
    path = tmp_path / "t.jsonl"
    write_track(POINTS, path)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [r["status"] for r in records] == [p.status for p in POINTS]
    assert records[0] == json.loads(track_json_line(POINTS[0]))
    assert records[3]["lat"] is None
    assert records[1]["time"] == "2024-05-06T07:08:10+02:00"
    assert set(records[0]) >= {"frame", "time_s", "lat", "lon", "sigma_m", "reason"}


def test_csv(tmp_path) -> None:
    path = tmp_path / "t.csv"
    write_track(POINTS, path)
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == len(POINTS)
    assert float(rows[1]["lat"]) == 0.001
    assert rows[3]["lat"] == ""
    assert rows[3]["reason"] == "<dark> & blank"


def test_geojson(tmp_path) -> None:
    path = tmp_path / "t.geojson"
    write_track(POINTS, path)
    features = json.loads(path.read_text())["features"]
    lines = [f for f in features if f["geometry"] and f["geometry"]["type"] == "LineString"]
    assert [len(f["geometry"]["coordinates"]) for f in lines] == [3, 2]
    # The equator is a place like any other.
    assert lines[0]["geometry"]["coordinates"][0] == [10.0, 0.0]
    points = features[2:]
    assert points[0]["geometry"] == {"type": "Point", "coordinates": [10.0, 0.0]}
    assert points[3]["geometry"] is None
    assert points[3]["properties"]["status"] == "lost"


def test_gpx(tmp_path) -> None:
    path = tmp_path / "t.gpx"
    write_track(POINTS, path)
    root = ElementTree.fromstring(path.read_bytes())  # noqa: S314 - we have just written it
    segments = root.findall("g:trk/g:trkseg", GPX)
    assert [len(s) for s in segments] == [3, 2]
    first = segments[0][1]
    assert float(first.get("lat")) == pytest.approx(0.001)
    assert first.findtext("g:time", namespaces=GPX) == "2024-05-06T05:08:10.000Z"
    assert first.findtext("g:extensions/m:status", namespaces=GPX) == "fix"
    assert float(first.findtext("g:extensions/m:sigma_m", namespaces=GPX)) == 2.5


def test_gpx_of_a_clock_without_offset_and_of_none(tmp_path) -> None:
    path = tmp_path / "t.gpx"
    naive = TrackPoint("a", 0.0, "fix", datetime(2024, 5, 6, 7, 8, 9), 1.0, 2.0, 3.0)
    write_track([naive, TrackPoint("b", 1.0, "fix", None, 1.0, 2.0, 3.0)], path)
    root = ElementTree.fromstring(path.read_bytes())  # noqa: S314
    times = [e.text for e in root.iter("{http://www.topografix.com/GPX/1/1}time")]
    assert times == ["2024-05-06T07:08:09.000"]


def test_kml(tmp_path) -> None:
    path = tmp_path / "t.kml"
    write_track(POINTS, path)
    root = ElementTree.fromstring(path.read_bytes())  # noqa: S314 - we have just written it
    lines = [e.text.split() for e in root.iterfind(".//k:LineString/k:coordinates", KML)]
    assert [len(line) for line in lines] == [3, 2]
    assert lines[0][1].startswith("10.001000000,0.001")
    begins = [e.text for e in root.iterfind(".//k:TimeSpan/k:begin", KML)]
    assert begins == ["2024-05-06T05:08:09.000Z", "2024-05-06T05:08:14.000Z"]


def test_a_track_that_is_lost_throughout_is_written_all_the_same(tmp_path) -> None:
    for ending in ("jsonl", "csv", "geojson", "gpx", "kml"):
        write_track(POINTS[3:5], tmp_path / f"t.{ending}")
        assert (tmp_path / f"t.{ending}").stat().st_size > 0


def test_unknown_formats_are_refused_before_the_work(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"t.shp: unknown format '.shp'; name a file .jsonl"):
        track_writer_for(tmp_path / "t.shp")
    with pytest.raises(UsageError, match="there is no folder"):
        track_writer_for(tmp_path / "none" / "t.gpx")


@pytest.fixture
def map_image():
    return MapImage(np.full((60, 80, 3), 90, np.uint8), Bounds(-0.001, 9.999, 0.008, 10.008))


def test_report(tmp_path, map_image) -> None:
    track = Track(
        POINTS,
        {"pitch": Bias(-2.0, 0.5), "height": Bias(0.1, 0.01, is_share=True)},
        7,
        1.5,
        ("telemetry from <a>.srt",),
    )
    truth = {f"{n}.jpg": LatLon(0.001 * n, 10.0 + 0.001 * n + 1e-5) for n in range(7)}
    page = write_track_report(tmp_path / "r", track, map_image=map_image, truth=truth).read_text()
    assert page.count("<polyline") >= 5
    assert "telemetry from &lt;a&gt;.srt" in page
    assert "<dd>-2.0 ± 0.5°</dd><dt>to add to the pitch</dt>" in page
    assert "<dd>+10.0 ± 1.0 %</dd><dt>to add to the height</dt>" in page
    assert re.search(r"<dd>1\.1 m</dd><dt>RMSE", page)
    for colour in ("#0b8a83", "#e9b31a"):
        assert f'stroke="{colour}"' in page
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)


def test_report_without_truth_or_position(tmp_path, map_image) -> None:
    track = Track(POINTS[3:5], {}, 2, 0.1)
    page = write_track_report(tmp_path, track, map_image=map_image).read_text()
    assert "<dd>100 %</dd><dt>lost</dt>" in page
    assert "RMSE" not in page


def test_report_into_a_file_is_refused(tmp_path, map_image) -> None:
    (tmp_path / "r").touch()
    with pytest.raises(UsageError, match="cannot be made"):
        write_track_report(tmp_path / "r", Track((), {}, 0, 0.0), map_image=map_image)


def test_utc_stays_utc(tmp_path) -> None:
    path = tmp_path / "t.gpx"
    write_track([TrackPoint("a", 0.0, "fix", START.astimezone(UTC), 1.0, 2.0, 3.0)], path)
    assert "2024-05-06T05:08:09.000Z" in path.read_text()
