"""Every error that MobileGeo raises on purpose.

```
MobileGeoError
├── UsageError        an option, argument or telemetry file that cannot be meant   exit code 2
├── PhotoError        one photo that cannot be read                                exit code 1
└── ResourceError     something the run cannot do without                          exit code 3
    ├── MapError      a raster, tile folder or MBTiles file
    ├── PackError     a map pack on disk
    ├── EncoderError  a model file or its runtime
    ├── DatasetError  training or benchmark imagery on disk
    └── MissingExtraError  an optional dependency that is not installed
```

The message is always `WHERE: what is wrong; what to do`, so that it reads the same in a log,
in a traceback and on the command line.
"""

from __future__ import annotations

from os import PathLike


class MobileGeoError(Exception):
    """Root of all errors raised on purpose.

    Args:
        where: the file, option or thing at fault.
        problem: what was found and why it cannot work.
        cure: what the user can do about it.
    """

    exit_code = 1

    def __init__(self, where: str | PathLike[str], problem: str, cure: str) -> None:
        super().__init__(f"{where}: {problem}; {cure}")
        self.where = str(where)
        self.problem = problem
        self.cure = cure

    def __reduce__(self) -> tuple[type[MobileGeoError], tuple[str, str, str]]:
        return type(self), (self.where, self.problem, self.cure)


class UsageError(MobileGeoError):
    """An option, argument or telemetry file that cannot be meant."""

    exit_code = 2


class PhotoError(MobileGeoError):
    """One photo that cannot be read; the others go on."""

    exit_code = 1


class ResourceError(MobileGeoError):
    """Something that the run cannot do without: a map, a pack, a model, a package."""

    exit_code = 3


class MapError(ResourceError):
    """A raster, tile folder or MBTiles file that cannot serve as a map."""


class PackError(ResourceError):
    """A map pack that is damaged, unfinished, foreign or of another version."""


class EncoderError(ResourceError):
    """A model file that is missing, damaged or of another kind, or a runtime that is missing."""


class DatasetError(ResourceError):
    """A dataset that is missing, incomplete or laid out in another way than its official one."""


class MissingExtraError(ResourceError):
    """An optional dependency that is not installed."""
