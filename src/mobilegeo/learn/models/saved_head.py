"""An alignment head in a training checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mobilegeo.learn.checkpoint import load, read_metadata
from mobilegeo.learn.models.alignment_head import AlignmentHead, HeadConfig

KEY = "mobilegeo_alignment_head"
"""Metadata entry that tells such a checkpoint from others."""


@dataclass(frozen=True)
class SavedHead:
    """A head and what it belongs to.

    Attributes:
        head: in evaluation mode.
        model_id: name of the encoder with it.
        base: name or path of the encoder whose features it works on.
        base_sha256: of that encoder, hexadecimal.
    """

    head: AlignmentHead
    model_id: str
    base: str
    base_sha256: str


def described(head: AlignmentHead, model_id: str, base: str, base_sha256: str) -> dict[str, str]:
    """What a checkpoint must say so that `load_head` can rebuild the head."""
    facts = {
        "channels": head.channels,
        "head": asdict(head.config),
        "model_id": model_id,
        "base": base,
        "base_sha256": base_sha256,
    }
    return {KEY: json.dumps(facts)}


def holds_head(metadata: Mapping[str, str]) -> bool:
    """Whether a checkpoint's text is that of an alignment head."""
    return KEY in metadata


def load_head(path: Path) -> SavedHead:
    """Reads a checkpoint for which `holds_head`.

    Raises:
        ResourceError: it is damaged.
    """
    facts = json.loads(read_metadata(path)[KEY])
    head = AlignmentHead(int(facts["channels"]), HeadConfig(**facts["head"]))
    load(path, {"head": head})
    return SavedHead(head.eval(), facts["model_id"], facts["base"], facts["base_sha256"])
