"""Text and numbers as they stand in the page."""

from __future__ import annotations

import html

from mobilegeo.output.text import finite, printable

_LOW, _MIDDLE, _HIGH = (0xC2, 0x41, 0x0C), (0xE9, 0xB3, 0x1A), (0x0B, 0x8A, 0x83)


def escape(text: str) -> str:
    """Text for an element or a quoted attribute; nothing in it is markup any more."""
    return html.escape(printable(text), quote=True)


def metres(value: float | None) -> str:
    """A length for people: `8.3 m`, `1.24 km`, or a dash."""
    value = finite(value)
    if value is None:
        return "–"
    return f"{value:.1f} m" if value < 1000 else f"{value / 1000:.2f} km"


def percent(value: float | None) -> str:
    """A fraction for people, or a dash."""
    return "–" if value is None else f"{100 * value:.0f} %"


def confidence_colour(confidence: float) -> str:
    """Burnt orange over amber to teal, told apart by colour-blind eyes too; `#rrggbb`."""
    share = 2 * min(max(finite(confidence) or 0.0, 0.0), 1.0)
    if share < 1:
        return _mix(_LOW, _MIDDLE, share)
    return _mix(_MIDDLE, _HIGH, share - 1)


def _mix(start: tuple[int, ...], end: tuple[int, ...], share: float) -> str:
    mixed = (round(a + share * (b - a)) for a, b in zip(start, end, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)
