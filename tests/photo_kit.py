"""Makes small photos with metadata for the tests of photos."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from PIL import Image

DJI_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="DJI" '
    'xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/" {attributes}>{elements}'
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def dji_packet(*, elements: bool = False, **values: object) -> bytes:
    """An XMP packet with `drone-dji` properties, as attributes or as elements."""
    if elements:
        inner = "".join(f"<drone-dji:{k}>{v}</drone-dji:{k}>\n" for k, v in values.items())
        return DJI_PACKET.format(attributes="", elements=inner).encode()
    attributes = " ".join(f'drone-dji:{k}="{v}"' for k, v in values.items())
    return DJI_PACKET.format(attributes=attributes, elements="").encode()


def exif_block(
    header: dict[int, Any] | None = None,
    camera: dict[int, Any] | None = None,
    gps: dict[int, Any] | None = None,
) -> bytes:
    """An EXIF block, written by Pillow."""
    exif = Image.Exif()
    for tag, value in (header or {}).items():
        exif[tag] = value
    exif.get_ifd(0x8769).update(camera or {})
    exif.get_ifd(0x8825).update(gps or {})
    return exif.tobytes()


def gps_tags(lat: float, lon: float) -> dict[int, Any]:
    """GPS tags for a position, to a ten-thousandth of a second of arc."""

    def parts(angle: float) -> tuple[float, float, float]:
        units = round(abs(angle) * 36_000_000)
        return units // 36_000_000, units // 600_000 % 60, units % 600_000 / 10_000

    return {
        1: "S" if lat < 0 else "N",
        2: parts(lat),
        3: "W" if lon < 0 else "E",
        4: parts(lon),
    }


def maker_note(camera: tuple[float, float, float], aircraft_yaw: float, order: str = "<") -> bytes:
    """A DJI maker note with the camera's (pitch, yaw, roll)."""
    values = {0x07: aircraft_yaw, **dict(zip((0x09, 0x0A, 0x0B), camera, strict=True))}
    entries = [struct.pack(order + "HHI4s", 1, 2, 4, b"DJI\0")]
    entries += [struct.pack(order + "HHIf", tag, 11, 1, v) for tag, v in values.items()]
    return struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(8)


def save_jpeg(
    path: Path,
    size: tuple[int, int] = (64, 48),
    *,
    exif: bytes = b"",
    xmp: bytes | None = None,
) -> Path:
    """A JPEG: red, with its top left quarter blue."""
    image = Image.new("RGB", size, (200, 20, 20))
    image.paste((20, 20, 200), (0, 0, size[0] // 2, size[1] // 2))
    image.save(path, "JPEG", quality=95, exif=exif, **({"xmp": xmp} if xmp else {}))
    return path
