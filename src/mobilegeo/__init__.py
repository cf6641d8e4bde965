"""MobileGeo finds where a drone is from what its camera sees.

```python
import mobilegeo as mg

pack = mg.MapPack.open("area.pack")
fix = mg.Localizer(pack).locate("DJI_0042.JPG")
fix.lat, fix.lon, fix.sigma_m
```
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mobilegeo import errors
    from mobilegeo.encoder import Encoder, load_encoder
    from mobilegeo.fix import Fix
    from mobilegeo.geo import Bounds, LatLon
    from mobilegeo.locate.localizer import Localizer
    from mobilegeo.locate.prior import BoxPrior, CirclePrior
    from mobilegeo.locate.records import Options
    from mobilegeo.maps.pack import MapPack
    from mobilegeo.metadata.telemetry import Telemetry
    from mobilegeo.photo import Photo, read_photo

__version__ = "0.1.0"

_HOMES = {
    "Bounds": "mobilegeo.geo",
    "BoxPrior": "mobilegeo.locate.prior",
    "CirclePrior": "mobilegeo.locate.prior",
    "Encoder": "mobilegeo.encoder",
    "Fix": "mobilegeo.fix",
    "LatLon": "mobilegeo.geo",
    "Localizer": "mobilegeo.locate.localizer",
    "MapPack": "mobilegeo.maps.pack",
    "Options": "mobilegeo.locate.records",
    "Photo": "mobilegeo.photo",
    "Telemetry": "mobilegeo.metadata.telemetry",
    "load_encoder": "mobilegeo.encoder",
    "read_photo": "mobilegeo.photo",
}

__all__ = [
    "Bounds",
    "BoxPrior",
    "CirclePrior",
    "Encoder",
    "Fix",
    "LatLon",
    "Localizer",
    "MapPack",
    "Options",
    "Photo",
    "Telemetry",
    "errors",
    "load_encoder",
    "read_photo",
]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that `import mobilegeo` is quick."""
    if name == "errors":
        return import_module("mobilegeo.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'mobilegeo' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
