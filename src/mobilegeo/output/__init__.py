"""Fixes written down: one file a format, an HTML report, and the way back from JSONL."""

from __future__ import annotations

from mobilegeo.output.jsonl import read_fixes_jsonl, to_json_line
from mobilegeo.output.writers import WRITERS, write_fixes

__all__ = ["WRITERS", "read_fixes_jsonl", "to_json_line", "write_fixes"]
