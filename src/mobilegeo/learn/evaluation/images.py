"""Images as networks are evaluated on them, and keys by which their embeddings are found again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mobilegeo.decode import open_file
from mobilegeo.errors import PhotoError, UsageError
from mobilegeo.learn.datasets.pixels import load_square
from mobilegeo.learn.datasets.records import View
from mobilegeo.learn.evaluation.cache import KEY_BYTES
from mobilegeo.learn.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt

RENDERING = 1
"""Version of how an image is fitted to the input and corrupted; to be raised when either changes,
so that embeddings of the former kind are no longer found."""
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Condition:
    """Weather, light or motion in which the drone's views are evaluated.

    Attributes:
        name: of a corruption, several joined with `+`, or `clean`.
        severity: 1 (mild) … 5; 0 where clean.
        seed: of all that is random in it.
    """

    name: str = "clean"
    severity: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.name, self.severity) == ("clean", 0):
            return
        unknown = [part for part in self.name.split("+") if part not in CORRUPTIONS]
        if unknown:
            raise UsageError(
                f"corruption {unknown[0]!r}",
                "is not known",
                f"choose from {', '.join(CORRUPTIONS)}",
            )
        if self.severity not in SEVERITIES:
            raise UsageError(f"severity {self.severity}", "is not one of 1 … 5", "choose one")

    def __str__(self) -> str:
        return f"{self.name} {self.severity}" if self.severity else self.name

    def concerns(self, view: View) -> bool:
        """Whether a view is changed: a satellite image is taken on another day."""
        return self.severity > 0 and view.kind != "satellite"


CLEAN = Condition()


def file_digest(path: Path) -> bytes:
    """SHA-256 of a file's content.

    Raises:
        PhotoError: the file is missing, empty or cannot be read.
    """
    try:
        with open_file(path) as stream:
            content = hashlib.sha256()
            while block := stream.read(_BLOCK_BYTES):
                content.update(block)
            return content.digest()
    except OSError as error:
        raise PhotoError(
            path, f"cannot be read ({error.strerror})", "check the disk and copy it again"
        ) from error


def view_key(view: View, digest: bytes, condition: Condition) -> bytes:
    """Key of a view's embedding under one network.

    Args:
        view: the record; its path does not count, what is cut out of the file does.
        digest: of the file.
        condition: counts for the views that it changes.

    Returns:
        `KEY_BYTES` bytes.
    """
    facts = {
        "rendering": RENDERING,
        "crop": view.crop and astuple(view.crop),
        "condition": astuple(condition) if condition.concerns(view) else None,
    }
    text = json.dumps(facts, sort_keys=True).encode()
    return hashlib.blake2b(digest + text, digest_size=KEY_BYTES).digest()


def load_image(view: View, size_px: int, digest: bytes, condition: Condition) -> NDArray[np.uint8]:
    """A view as the network sees it.

    Squeezed to a square, then corrupted at that size. What is random in a corruption follows from
    the file's content.

    Returns:
        uint8 [S, S, 3], RGB.

    Raises:
        PhotoError: the file is missing, damaged or no image.
    """
    image = load_square(view, size_px)
    if not condition.concerns(view):
        return image
    return corrupt(
        image,
        condition.name,
        condition.severity,
        index=int.from_bytes(digest[:8]),
        seed=condition.seed,
    )
