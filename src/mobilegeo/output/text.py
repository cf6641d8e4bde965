"""What of a fix can stand in a file: finite numbers, valid characters, words for people."""

from __future__ import annotations

import math
import re
from numbers import Integral, Real

from mobilegeo.fix import Fix
from mobilegeo.geo import LatLon

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def printable(text: str) -> str:
    """The text with every character that XML 1.0 and UTF-8 cannot hold replaced by U+FFFD.

    File names may hold control characters and, where they are not UTF-8, lone surrogates.
    """
    return _NOT_XML.sub("\ufffd", text)


def json_ready(value: object) -> object:
    """The value with NaN and infinities as None and NumPy scalars as plain numbers."""
    if isinstance(value, dict):
        return {key: json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        return number if math.isfinite(number) else None
    raise TypeError(f"{value!r} has no place in JSON")


def finite(value: float | None) -> float | None:
    """The number, or None where it is unknown or not finite."""
    return value if value is not None and math.isfinite(value) else None


def position(fix: Fix) -> LatLon | None:
    """Where the photo was fixed; None without a fix."""
    lat, lon = finite(fix.lat), finite(fix.lon)
    if fix.status != "fix" or lat is None or lon is None:
        return None
    return LatLon(lat, lon)


def summary_line(fix: Fix) -> str:
    """A fix in words, such as `± 4.2 m (1 sigma), confidence 0.93, aligned`."""
    parts = []
    sigma_m = finite(fix.sigma_m)
    if sigma_m is not None:
        parts.append(f"± {sigma_m:.1f} m (1 sigma)")
    parts.append(f"confidence {fix.confidence:.2f}")
    parts.extend(part for part in (fix.method, fix.reason) if part)
    return ", ".join(parts)
