"""One card a photo: its pictures beside its figures."""

from __future__ import annotations

from collections.abc import Iterator

from mobilegeo.evaluation.metrics import error_m
from mobilegeo.fix import Fix
from mobilegeo.output.report.images import HEATMAP_SIDE_PX, data_uri, paint_heatmap
from mobilegeo.output.report.markup import confidence_colour, escape, metres, percent
from mobilegeo.output.report.parts import Entry, Image
from mobilegeo.output.text import finite

PHOTO_SIDE_PX, QUERY_SIDE_PX, TILE_SIDE_PX = 420, 224, 160
MAX_TILES = 4
_WIDE = {"remark", "time"}
_STATUS_WORDS = {"fix": "fix", "no_fix": "no fix", "error": "error"}


def render_card(entry: Entry) -> str:
    """The card; `id="photo-N"` is what the pin on the map links to."""
    fix, number = entry.fix, entry.number
    facts = "\n".join(
        f"<div{' class=wide' if name in _WIDE else ''}><dt>{name}</dt><dd>{value}</dd></div>"
        for name, value in _facts(entry)
    )
    return f"""<article class="card" id="photo-{number}" data-number="{number}">
<header><h2><span class="count">{number}</span> <bdi>{escape(fix.photo)}</bdi></h2>
<span class="badge {fix.status}">{_STATUS_WORDS[fix.status]}</span>
{_map_link(entry)}</header>
{_pictures(entry)}
<dl>{facts}</dl>
</article>"""


def _map_link(entry: Entry) -> str:
    if entry.position is None:
        return ""
    name = escape(entry.fix.photo)
    return f'<a class="show" href="#map" aria-label="Show {name} on the map">show on map</a>'


def _pictures(entry: Entry) -> str:
    panel, name = entry.panel, entry.fix.photo
    large = []
    if panel.photo is not None:
        large.append(_figure(panel.photo, PHOTO_SIDE_PX, f"Photo {name}", "photo"))
    if panel.query is not None:
        alt = f"{name} as compared with the map"
        large.append(_figure(panel.query, QUERY_SIDE_PX, alt, "query, as compared with the map"))
    if panel.heatmap is not None:
        painted = paint_heatmap(panel.heatmap)
        alt = f"Alignment scores of {name} over positions, the peak ringed"
        large.append(_figure(painted, HEATMAP_SIDE_PX, alt, "alignment, peak ringed"))
    tiles = [
        _figure(image, TILE_SIDE_PX, f"Map tile {rank} for {name}: {caption}", caption)
        for rank, (image, caption) in enumerate(panel.tiles[:MAX_TILES], start=1)
    ]
    rows = (("large", large), ("tiles", tiles))
    return "\n".join(f'<div class="{kind}">{"".join(row)}</div>' for kind, row in rows if row)


def _figure(image: Image, side_px: int, alt: str, caption: str) -> str:
    aspect = image.shape[1] / image.shape[0]
    return (
        f'<figure style="--aspect:{aspect:.3f}"><img alt="{escape(alt)}" '
        f'src="{data_uri(image, side_px)}"><figcaption>{escape(caption)}</figcaption></figure>'
    )


def _facts(entry: Entry) -> Iterator[tuple[str, str]]:
    """Name and value, ready for the page, of what is known."""
    fix = entry.fix
    if entry.position is not None:
        yield "position", f"{entry.position.lat:.6f}, {entry.position.lon:.6f}"
        yield "uncertainty (1 sigma)", f"± {metres(fix.sigma_m)}"
    if entry.truth is not None:
        yield "error", _error(entry)
    if fix.status != "error":
        yield "confidence", _confidence(fix.confidence)
    heading_deg = finite(fix.heading_deg)
    if heading_deg is not None:
        yield "heading", f"{heading_deg:.0f}°"
    if fix.method is not None:
        yield "method", fix.method
    camera_lat, camera_lon = finite(fix.camera_lat), finite(fix.camera_lon)
    if camera_lat is not None and camera_lon is not None:
        yield "camera", f"{camera_lat:.6f}, {camera_lon:.6f}"
    if fix.reason:
        yield "remark", escape(fix.reason)
    if fix.timing_ms:
        yield "time", _timing(fix)


def _error(entry: Entry) -> str:
    if entry.position is None:
        return "no fix to compare"
    error = error_m(entry.fix, entry.truth)
    sigma_m = finite(entry.fix.sigma_m)
    ratio = f" ({error / sigma_m:.1f} sigma)" if sigma_m else ""
    return metres(error) + ratio


def _confidence(confidence: float) -> str:
    share = min(max(finite(confidence) or 0.0, 0.0), 1.0)
    colour = confidence_colour(share)
    return (
        f'{percent(share)}<i class="bar"><i style="width:{100 * share:.0f}%;'
        f'background:{colour}"></i></i>'
    )


def _timing(fix: Fix) -> str:
    stages = [f"{escape(name)} {value:.0f}" for name, value in fix.timing_ms.items()]
    return ", ".join(stages) + " ms"
