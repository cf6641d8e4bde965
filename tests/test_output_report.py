"""The HTML report: self-contained, safe, complete, and drawn where things are."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilegeo.errors import UsageError
from mobilegeo.fix import Fix
from mobilegeo.geo import Bounds, LatLon, LocalFrame, destination, distance_m
from mobilegeo.output.report import MapImage, PhotoPanel, write_report
from mobilegeo.output.report.images import HEATMAP_SIDE_PX, data_uri, paint_heatmap
from mobilegeo.output.report.markup import confidence_colour, metres
from mobilegeo.output.report.plot import nice_length

HERE = LatLon(44.0585, -123.069)
VOID = {"meta", "img", "path", "circle", "image", "br"}


class Page(HTMLParser):
    """The elements of a report, with a check that they are nested properly."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(self.source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID - {"image"}:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def find(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        """Attributes of the elements with this tag and these attributes (`class_` for class)."""
        wanted = {key.rstrip("_"): value for key, value in wanted.items()}
        return [
            attrs
            for name, attrs in self.elements
            if name == tag and all(attrs.get(key) == value for key, value in wanted.items())
        ]


def fix_at(photo: str, x_m: float, y_m: float, confidence: float = 0.9) -> Fix:
    point = LocalFrame(HERE).point(x_m, y_m)
    return Fix(
        photo,
        "fix",
        point.lat,
        point.lon,
        sigma_m=5.0,
        confidence=confidence,
        heading_deg=271.4,
        method="aligned",
        reason="pitch assumed",
        camera_lat=44.1,
        camera_lon=-123.1,
        timing_ms={"read": 20.4, "total": 215.5},
    )


def bounds(half_m: float) -> Bounds:
    frame = LocalFrame(HERE)
    south_west, north_east = frame.point(-half_m, -half_m), frame.point(half_m, half_m)
    return Bounds(south_west.lat, south_west.lon, north_east.lat, north_east.lon)


def picture(seed: int, height: int = 60, width: int = 80) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def full_panel() -> PhotoPanel:
    return PhotoPanel(
        photo=picture(1),
        query=picture(2, 50, 50),
        tiles=tuple((picture(3 + rank, 40, 40), f"0.8{rank}, 120 m") for rank in range(3)),
        heatmap=np.eye(9, dtype=np.float32),
    )


@pytest.fixture
def page(tmp_path: Path) -> Page:
    fixes = [
        fix_at("a.jpg", 30.0, 40.0),
        fix_at("b.jpg", -60.0, 0.0, confidence=0.2),
        Fix("c.jpg", "no_fix", reason="the map looks alike everywhere"),
        Fix("d.jpg", "error", reason="truncated"),
    ]
    path = write_report(
        tmp_path / "new" / "report",
        fixes,
        map_image=MapImage(picture(0, 200, 200), bounds(100.0)),
        truth={"a.jpg": LocalFrame(HERE).point(30.0, 48.0), "c.jpg": HERE},
        panels={"a.jpg": full_panel()},
        title="Flight & test",
    )
    assert path == tmp_path / "new" / "report" / "report.html"
    return Page(path)


def test_self_contained(page: Page) -> None:
    links = [
        value
        for _, attrs in page.elements
        for name in ("src", "href", "srcset", "action")
        if (value := attrs.get(name)) is not None
    ]
    assert len(links) > 8
    assert all(link.startswith(("data:image/jpeg;base64,", "#")) for link in links)
    assert not re.search(r"https?://|@import|url\(", page.source)
    assert not page.find("link")


def test_only_its_own_script_may_run(page: Page) -> None:
    script = re.search(r"<script>(.*)</script>", page.source, re.DOTALL)
    assert script is not None
    digest = hashlib.sha256(script[1].encode()).digest()
    (policy,) = [attrs for attrs in page.find("meta") if "http-equiv" in attrs]
    content = policy["content"] or ""
    assert "default-src 'none'" in content
    assert f"script-src 'sha256-{base64.b64encode(digest).decode()}'" in content


def test_every_picture_has_words(page: Page) -> None:
    pictures = page.find("img")
    assert len(pictures) == 6
    assert all(attrs["alt"] for attrs in pictures)
    assert "Map tile 1 for a.jpg: 0.80, 120 m" in {attrs["alt"] for attrs in pictures}
    assert all(attrs.get("aria-label") for _, attrs in page.elements if attrs.get("class") == "pin")


def test_pins_and_cards_link_to_each_other(page: Page) -> None:
    ids = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    assert {"map", "photo-1", "photo-2", "photo-3", "photo-4"} <= ids
    targets = {attrs["href"] for attrs in page.find("a")}
    assert targets == {"#photo-1", "#photo-2", "#map"}
    assert len(page.find("a", class_="show")) == 2


def test_figures_at_the_head(page: Page) -> None:
    figures = re.findall(r"<div><dd>([^<]*)</dd><dt>([^<]*)</dt></div>", page.source)
    assert figures == [
        ("4", "photos"),
        ("2", "fixes"),
        ("5.0 m", "median sigma"),
        ("8.0 m", "median error"),
        ("8.0 m", "90 % of errors below"),
        ("50 %", "photos within 10 m"),
        ("50 %", "photos within 25 m"),
        ("50 %", "photos within 50 m"),
    ]


def test_card_tells_everything(page: Page) -> None:
    card = page.source[page.source.index('id="photo-1"') : page.source.index('id="photo-2"')]
    facts = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)", card))
    point = LocalFrame(HERE).point(30.0, 40.0)
    assert facts == {
        "position": f"{point.lat:.6f}, {point.lon:.6f}",
        "uncertainty (1 sigma)": "± 5.0 m",
        "error": "8.0 m (1.6 sigma)",
        "confidence": "90 %",
        "heading": "271°",
        "method": "aligned",
        "camera": "44.100000, -123.100000",
        "remark": "pitch assumed",
        "time": "read 20, total 216 ms",
    }


def test_cards_without_a_fix(page: Page) -> None:
    source = page.source
    no_fix = source[source.index('id="photo-3"') : source.index('id="photo-4"')]
    assert '<span class="badge no_fix">no fix</span>' in no_fix
    assert "the map looks alike everywhere" in no_fix
    assert "no fix to compare" in no_fix
    error = source[source.index('id="photo-4"') :]
    assert '<span class="badge error">error</span>' in error
    assert "<dt>confidence</dt>" not in error


def test_things_are_drawn_where_they_are(page: Page) -> None:
    (image,) = page.find("image")
    left, top, width, height = (float(image[key] or "") for key in ("x", "y", "width", "height"))
    assert (left, top, width, height) == pytest.approx((-100, -100, 200, 200), abs=0.02)
    pins = {attrs["data-number"]: attrs for attrs in page.find("a", class_="pin")}
    assert float(pins["1"]["data-x"] or "") == pytest.approx(30.0, abs=0.01)
    assert float(pins["1"]["data-y"] or "") == pytest.approx(-40.0, abs=0.01)  # south is down
    radii = [float(attrs["r"] or "") for attrs in page.find("circle", class_="sigma")]
    assert radii == [10.0, 5.0, 10.0, 5.0]
    (line,) = page.find("path", class_="error")
    assert line["d"] == "M30.00 -48.00L30.00 -40.00"
    assert len(page.find("path", class_="truth")) == 3  # two photos and the legend


def test_scale_bar(page: Page) -> None:
    (view,) = page.find("svg", class_="plot")
    shown_m = float((view.get("viewbox") or "").split()[2])
    (bar,) = page.find("div", class_="scale")
    share = float(re.search(r"width:([\d.]+)%", bar["style"] or "")[1]) / 100  # type: ignore[index]
    assert share * shown_m == pytest.approx(50.0, rel=1e-4)
    assert "50 m" in page.text


def test_plain_plot_keeps_distances(tmp_path: Path) -> None:
    first, second = HERE, destination(HERE, 61.0, 2500.0)
    fixes = [Fix(f"{i}", "fix", p.lat, p.lon) for i, p in enumerate((first, second))]
    page = Page(write_report(tmp_path, fixes))
    a, b = (
        (float(pin["data-x"] or ""), float(pin["data-y"] or ""))
        for pin in page.find("a", class_="pin")
    )
    assert math.dist(a, b) == pytest.approx(distance_m(first, second), rel=1e-4)
    assert math.degrees(math.atan2(b[0] - a[0], a[1] - b[1])) == pytest.approx(61.0, abs=0.1)
    assert page.find("path", class_="grid")
    assert not page.find("image")
    assert "1 km N" in page.text


@pytest.mark.parametrize(
    "name",
    [
        '"><script>alert(1)</script>.jpg',
        "<img src=x onerror=alert(1)>.jpg",
        "' onmouseover='alert(1).jpg",
        "$title ${script} $.jpg",
        "]]></title></style></script>.jpg",
        "\x00\x1b[31m\udcff.jpg",
    ],
)
def test_hostile_names(tmp_path: Path, name: str) -> None:
    fix = fix_at(name, 0.0, 0.0)
    hostile = Fix(name + "2", "error", reason=name, timing_ms={name: 1.0})
    panel = PhotoPanel(picture(0), tiles=((picture(1), name),))
    page = Page(
        write_report(tmp_path, [fix, hostile], truth={name: HERE}, panels={name: panel}, title=name)
    )
    assert len(page.find("script")) == 1
    assert not [key for _, attrs in page.elements for key in attrs if key.startswith("on")]
    assert len(page.find("img")) == 2
    shown = re.sub("[\x00\x1b\udcff]", "\ufffd", name)
    assert page.text.count(shown) >= 4  # heading, card, caption, remark


def test_no_photos(tmp_path: Path) -> None:
    page = Page(write_report(tmp_path, []))
    assert "There are no photos." in page.text
    assert "There is no position to draw." in page.text


def test_map_without_any_fix(tmp_path: Path) -> None:
    image = MapImage(picture(0), bounds(100.0))
    page = Page(write_report(tmp_path, [Fix("a", "no_fix")], map_image=image))
    assert page.find("image")
    assert not page.find("a")


def test_a_single_fix_without_sigma(tmp_path: Path) -> None:
    page = Page(write_report(tmp_path, [Fix("a", "fix", 10.0, 20.0)]))
    assert len(page.find("a", class_="pin")) == 1
    assert not page.find("circle", class_="sigma")
    assert "± –" in page.text


def test_truth_of_other_photos_is_left_out(tmp_path: Path) -> None:
    page = Page(write_report(tmp_path, [fix_at("a", 0.0, 0.0)], truth={"b": HERE}))
    assert not page.find("path", class_="truth")
    assert "median error" not in page.source


def test_many_pins_are_small(tmp_path: Path) -> None:
    page = Page(write_report(tmp_path, [fix_at(f"{i}", i, i) for i in range(61)]))
    assert page.find("svg", class_="plot dense plain")


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UsageError, match=r"taken: cannot be made .*; choose a folder"):
        write_report(tmp_path / "taken", [])


def test_size_with_real_pictures(tmp_path: Path, shared_data: Path) -> None:
    photos = sorted((shared_data / "drone/sheffield_cross/images").glob("*.JPG"))[:30]
    fixes, panels = [], {}
    for number, path in enumerate(photos):
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        square = np.ascontiguousarray(image[:600, :600])
        tiles = tuple((square[:512, i : i + 512], "0.81, 120 m") for i in range(5))
        heatmap = np.random.default_rng(number).random((40, 40), dtype=np.float32)
        panels[path.name] = PhotoPanel(image, square, tiles, heatmap)
        fixes.append(fix_at(path.name, 10.0 * number, 0.0))
    preview = MapImage(panels[photos[0].name].photo, bounds(500.0))
    report = write_report(tmp_path, fixes, map_image=preview, panels=panels)
    assert len(fixes) == 30
    assert report.stat().st_size < 5_000_000


def _decode(uri: str) -> np.ndarray:
    data = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), 1), cv2.COLOR_BGR2RGB)


def test_data_uri_shrinks_and_keeps_colours() -> None:
    image = np.full((100, 400, 3), (200, 40, 10), np.uint8)
    decoded = _decode(data_uri(image, 80))
    assert decoded.shape == (20, 80, 3)
    assert np.abs(decoded.astype(int) - (200, 40, 10)).max() <= 4
    assert _decode(data_uri(image, 1000)).shape == (100, 400, 3)


def test_heatmap_rings_its_peak_and_greys_the_unknown() -> None:
    heatmap = np.zeros((10, 20), np.float32)
    heatmap[7, 3] = 2.0
    heatmap[:2] = np.nan
    painted = paint_heatmap(heatmap)
    assert painted.shape == (HEATMAP_SIDE_PX // 2, HEATMAP_SIDE_PX, 3)
    cell = HEATMAP_SIDE_PX / 20
    assert (painted[5, 100] == 128).all()
    rows, columns = np.nonzero((painted == 255).all(axis=2))
    assert rows.mean() == pytest.approx(7.5 * cell, abs=1)
    assert columns.mean() == pytest.approx(3.5 * cell, abs=1)


@pytest.mark.parametrize("value", [np.nan, 0.3])
def test_heatmap_without_contrast(value: float) -> None:
    painted = paint_heatmap(np.full((5, 5), value, np.float32))
    assert painted.shape == (HEATMAP_SIDE_PX, HEATMAP_SIDE_PX, 3)


def test_colours_of_confidence() -> None:
    assert confidence_colour(0.0) == confidence_colour(-1.0) == confidence_colour(math.nan)
    assert confidence_colour(1.0) == confidence_colour(2.0) == "#0b8a83"
    assert confidence_colour(0.5) == "#e9b31a"
    assert len({confidence_colour(step / 10) for step in range(11)}) == 11


@given(st.floats(1e-3, 1e7))
def test_nice_length(limit_m: float) -> None:
    length = nice_length(limit_m)
    assert 0.4 * limit_m <= length <= limit_m
    assert f"{length:e}"[0] in "125"


def test_lengths_for_people() -> None:
    assert [metres(value) for value in (None, math.nan, 8.26, 1240.0)] == [
        "–",
        "–",
        "8.3 m",
        "1.24 km",
    ]
