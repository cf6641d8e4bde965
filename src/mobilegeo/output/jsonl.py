"""JSONL: one record of the contract a line; written, and read back with checks."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from mobilegeo.errors import UsageError
from mobilegeo.fix import Candidate, Fix
from mobilegeo.geo import LatLon
from mobilegeo.output.atomic import write_atomically
from mobilegeo.output.text import json_ready

_CURE = "write it with `mobilegeo locate --json` or `--out FILE.jsonl`"
_STATUSES = ("fix", "no_fix", "error")
_METHODS = ("retrieval", "aligned", None)


def to_json_line(fix: Fix) -> str:
    """The record on one line of ASCII JSON, without a line end; NaN becomes null."""
    return json.dumps(json_ready(fix.to_record()), allow_nan=False)


def write_jsonl(fixes: Sequence[Fix], path: Path) -> None:
    """Writes one record a line."""
    write_atomically(path, "".join(to_json_line(fix) + "\n" for fix in fixes).encode("ascii"))


def read_fixes_jsonl(path: str | Path) -> list[Fix]:
    """Reads fixes back; empty lines and unknown keys are skipped.

    Raises:
        UsageError: the file cannot be read or a line is no record; names file and line.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(path, f"cannot be read ({error.strerror})", "check the path") from error
    lines = content.removeprefix(b"\xef\xbb\xbf").splitlines()
    return [
        _fix_from_line(line, f"{path}, line {number}")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]


def _fix_from_line(line: bytes, where: str) -> Fix:
    try:
        record = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(where, f"is not JSON ({error})", _CURE) from error
    if not isinstance(record, dict):
        raise UsageError(where, f"is a {type(record).__name__}, not a JSON object", _CURE)
    fields = _Fields(record, where)
    fix = Fix(
        photo=fields.text("photo"),
        status=fields.choice("status", _STATUSES),
        lat=fields.number("lat"),
        lon=fields.number("lon"),
        sigma_m=fields.number("sigma_m"),
        confidence=fields.number("confidence") or 0.0,
        heading_deg=fields.number("heading_deg"),
        method=fields.choice("method", _METHODS),
        reason=fields.text("reason", default=""),
        camera_lat=fields.number("camera_lat"),
        camera_lon=fields.number("camera_lon"),
        candidates=fields.candidates(),
        timing_ms=fields.numbers("timing_ms"),
        details=fields.numbers("details"),
    )
    _check_position(fix, where)
    return fix


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _check_position(fix: Fix, where: str) -> None:
    if fix.status != "fix":
        return
    if fix.lat is None or fix.lon is None:
        raise UsageError(where, "is a fix without lat and lon", _CURE)
    try:
        LatLon(fix.lat, fix.lon)
    except UsageError as error:
        raise UsageError(where, f"{error.where} is {error.problem}", error.cure) from error


class _Fields:
    """A JSON object whose members are asked for by name and type."""

    def __init__(self, record: dict[str, Any], where: str) -> None:
        self._record = record
        self._where = where

    def _refuse(self, name: str, value: object, wanted: str) -> NoReturn:
        shown = json.dumps(value)[:40]
        raise UsageError(self._where, f"{name} is {shown}, not {wanted}", _CURE)

    def text(self, name: str, default: str | None = None) -> str:
        value = self._record.get(name, default)
        if not isinstance(value, str):
            self._refuse(name, value, "a text")
        return value

    def choice(self, name: str, options: Sequence[str | None]) -> Any:
        value = self._record.get(name)
        if value not in options:
            self._refuse(name, value, "one of " + ", ".join(filter(None, options)))
        return value

    def number(self, name: str) -> float | None:
        value = self._record.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._refuse(name, value, "a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            self._refuse(name, value, "a finite number")
        return number

    def numbers(self, name: str) -> dict[str, float]:
        value = self._record.get(name) or {}
        if not isinstance(value, dict):
            self._refuse(name, value, "an object of numbers")
        inner = _Fields(value, f"{self._where}, {name}")
        found = {key: inner.number(key) for key in value}
        return {key: number for key, number in found.items() if number is not None}

    def candidates(self) -> tuple[Candidate, ...]:
        value = self._record.get("candidates") or []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self._refuse("candidates", value, "a list of objects")
        return tuple(_Fields(item, f"{self._where}, candidates")._candidate() for item in value)

    def _candidate(self) -> Candidate:
        return Candidate(
            lat=self._known("lat"),
            lon=self._known("lon"),
            score=self._known("score"),
            footprint_m=self._known("footprint_m"),
        )

    def _known(self, name: str) -> float:
        number = self.number(name)
        if number is None:
            self._refuse(name, None, "a number")
        return number
