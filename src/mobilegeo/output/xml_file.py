"""What the GPX and KML writers share."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from mobilegeo.output.atomic import write_atomically
from mobilegeo.output.text import printable


def add(parent: ElementTree.Element, tag: str, text: str | None = None) -> ElementTree.Element:
    """Appends an element, with text whose characters XML can hold."""
    element = ElementTree.SubElement(parent, tag)
    element.text = None if text is None else printable(text)
    return element


def degrees(value: float) -> str:
    """Degrees in plain decimal notation, as XML schemas want them; to 0.1 mm."""
    return f"{value:.9f}"


def write_xml(root: ElementTree.Element, path: Path) -> None:
    """Writes an indented UTF-8 document."""
    ElementTree.indent(root)
    write_atomically(path, ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
