"""Reads the views of a place, and goes on where files are damaged."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import PhotoError
from mobilegeo.learn.datasets.pixels import load_pixels, load_square
from mobilegeo.learn.datasets.records import View

log = logging.getLogger(__name__)

Image = NDArray[np.uint8]

NAMED = 10
"""So many damaged files are named in the log; the rest are counted."""


class ViewReader:
    """Reads views at about one size and keeps a list of those that cannot be read.

    A damaged file is never opened again. The first `NAMED` are named in the log, then only the
    100th, the 1,000th and so on. Safe to use from several threads, and what it returns does not
    depend on their order.

    Args:
        size_px: S, side of the network's input.
    """

    def __init__(self, size_px: int) -> None:
        self.size_px = size_px
        self._lock = threading.Lock()
        self._damaged: set[Path] = set()

    @property
    def damaged(self) -> tuple[Path, ...]:
        """Files that could not be read so far, sorted."""
        with self._lock:
            return tuple(sorted(self._damaged))

    def read(self, view: View) -> Image | None:
        """A view's pixels, uint8 [H, W, 3] RGB, H and W at least S unless the file has fewer.

        None where the file is damaged or missing.
        """
        return self._loaded(view, load_pixels)

    def read_one_of(self, views: Sequence[View], first: int = 0) -> Image | None:
        """The pixels of `views[first]`, or of the next one that can be read; None if none can."""
        turns = (views[(first + step) % len(views)] for step in range(len(views)))
        images = (self.read(view) for view in turns)
        return next((image for image in images if image is not None), None)

    def read_square(self, views: Sequence[View]) -> Image | None:
        """The first view that can be read, as `load_square` gives it: uint8 [S, S, 3], or None."""
        images = (self._loaded(view, load_square) for view in views)
        return next((image for image in images if image is not None), None)

    def _loaded(self, view: View, load: Callable[[View, int], Image]) -> Image | None:
        if view.path in self._damaged:
            return None
        try:
            return load(view, self.size_px)
        except PhotoError as error:
            self._note(view.path, error)
            return None

    def _note(self, path: Path, error: PhotoError) -> None:
        with self._lock:
            if path in self._damaged:
                return
            self._damaged.add(path)
            count = len(self._damaged)
        if count <= NAMED:
            log.warning("%s; training goes on with the place's other views", error)
        if count == NAMED:
            log.warning("further files that cannot be read are counted, not named")
        elif count > NAMED and math.log10(count).is_integer():
            log.warning("%d files cannot be read by now, the last is %s", count, path)
