"""GeoJSON (RFC 7946): a point a fix; its properties are the contract's record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mobilegeo.fix import Fix
from mobilegeo.output.atomic import write_atomically
from mobilegeo.output.text import json_ready, position


def write_geojson(fixes: Sequence[Fix], path: Path) -> None:
    """Writes a FeatureCollection; a photo without a fix is a feature without geometry."""
    collection = {"type": "FeatureCollection", "features": [_feature(fix) for fix in fixes]}
    write_atomically(path, json.dumps(collection, allow_nan=False, indent=1).encode("ascii"))


def _feature(fix: Fix) -> dict[str, Any]:
    where = position(fix)
    geometry = where and {"type": "Point", "coordinates": [where.lon, where.lat]}
    return {"type": "Feature", "geometry": geometry, "properties": json_ready(fix.to_record())}
