"""A trained network in one file, from which alone it can be rebuilt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from mobilegeo.errors import MobileGeoError, ResourceError
from mobilegeo.learn.checkpoint import (
    load,
    read_metadata,
    read_tensors,
    tensors_of,
    under,
    write_tensors,
)
from mobilegeo.learn.models.student import Student, StudentConfig
from mobilegeo.learn.models.teacher import Teacher, TeacherConfig
from mobilegeo.learn.models.timm_model import BackboneConfig, Preprocessing

Kind = Literal["student", "teacher"]
Network = Student | Teacher
NetworkConfig = StudentConfig | TeacherConfig

FORMAT_VERSION = "1"
FORMAT_KEY = "mobilegeo_network"
"""Metadata entry that tells such a file from other safetensors, with the format's version."""
PREFIX = "network"
"""Before the names of the network's tensors; a training checkpoint holds others beside them."""
FEATURES = "features"
"""Before the names of the tensors of `ChannelStatistics`."""


@dataclass(frozen=True)
class ChannelStatistics:
    """Mean and spread of the channels of a feature map over training imagery.

    Attributes:
        mean, std: float32 [C]; `std` is positive.
    """

    mean: Tensor
    std: Tensor


@dataclass(frozen=True)
class Saved:
    """A network as read from its file.

    Attributes:
        kind: `student` or `teacher`.
        model_id: name of the weights.
        network: in evaluation mode.
        config: what it is made of; its backbone no longer asks for pretrained weights.
        preprocessing: the images it was made for.
        places: number of training places, which its classifiers tell apart.
        places_sha256: hash of their ids in order; equal hashes mean comparable logits.
        sha256: hash of the file, hexadecimal.
        features: statistics of a student's features of stride 16, which an encoder is
            standardised by; None where the file does not hold them.
    """

    kind: Kind
    model_id: str
    network: Network
    config: NetworkConfig
    preprocessing: Preprocessing
    places: int
    places_sha256: str
    sha256: str
    features: ChannelStatistics | None = None


def places_hash(place_ids: Sequence[str]) -> str:
    """SHA-256 of place ids in order, hexadecimal."""
    return hashlib.sha256(json.dumps(list(place_ids)).encode()).hexdigest()


def described(
    network: Network, config: NetworkConfig, *, kind: Kind, places: Sequence[str], model_id: str
) -> dict[str, str]:
    """What a file must say so that `load_network` can rebuild the network in it."""
    return {
        FORMAT_KEY: FORMAT_VERSION,
        "kind": kind,
        "model_id": model_id,
        "config": json.dumps(asdict(config), default=str),
        "preprocessing": json.dumps(asdict(network.preprocessing)),
        "places": str(len(places)),
        "places_sha256": places_hash(places),
    }


def save_network(
    path: Path,
    network: Network,
    *,
    kind: Kind,
    config: NetworkConfig,
    places: Sequence[str],
    model_id: str,
    extra: Mapping[str, str] | None = None,
    features: ChannelStatistics | None = None,
) -> None:
    """Writes a network and all that is needed to rebuild it; atomic.

    Args:
        path: the safetensors file.
        network: to be written.
        kind: which of the two it is.
        config: what it was made from.
        places: ids of the training places, in the order of its classifiers' outputs.
        model_id: name of the weights.
        extra: more text to travel along, such as the training's configuration.
        features: of a student that is to be exported.
    """
    metadata = described(network, config, kind=kind, places=places, model_id=model_id)
    tensors = tensors_of({PREFIX: network})
    if features is not None:
        tensors |= {f"{FEATURES}.mean": features.mean, f"{FEATURES}.std": features.std}
    write_tensors(path, tensors, {**(extra or {}), **metadata})


def load_network(path: Path) -> Saved:
    """Rebuilds a network from a file of `save_network`, or from a training checkpoint.

    Model hubs are not asked: the weights come from the file.

    Raises:
        ResourceError: the file is missing, damaged, of another kind or another version.
    """
    metadata = read_metadata(path)
    _check_format(path, metadata)
    with _describing(path):
        kind: Kind = "teacher" if metadata["kind"] == "teacher" else "student"
        preprocessing = _preprocessing(json.loads(metadata["preprocessing"]))
        config = _config(kind, json.loads(metadata["config"]), preprocessing)
        places = int(metadata["places"])
        network = _make(config, places)
    network.preprocessing = preprocessing
    load(path, {PREFIX: network})
    statistics = under(read_tensors(path, FEATURES), FEATURES)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Saved(
        kind=kind,
        model_id=metadata["model_id"],
        network=network.eval(),
        config=config,
        preprocessing=preprocessing,
        places=places,
        places_sha256=metadata["places_sha256"],
        sha256=sha256,
        features=ChannelStatistics(**statistics) if statistics else None,
    )


def read_preprocessing(path: Path) -> Preprocessing:
    """The images that a saved network was made for, without loading it.

    Raises:
        ResourceError: the file is missing, damaged, of another kind or another version.
    """
    metadata = read_metadata(path)
    _check_format(path, metadata)
    with _describing(path):
        return _preprocessing(json.loads(metadata["preprocessing"]))


def holds_network(metadata: Mapping[str, str]) -> bool:
    """Whether a checkpoint with this text is for `load_network`."""
    return FORMAT_KEY in metadata


@contextmanager
def _describing(path: Path) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, MobileGeoError) as error:
        raise ResourceError(
            path,
            f"does not describe a network that this version can build ({error})",
            "use the versions of mobilegeo and timm that wrote it, or train again",
        ) from error


def _check_format(path: Path, metadata: Mapping[str, str]) -> None:
    if not holds_network(metadata):
        raise ResourceError(
            path,
            "does not say which student or teacher it holds",
            "give a .safetensors file that `mobilegeo learn train` wrote",
        )
    if metadata[FORMAT_KEY] != FORMAT_VERSION:
        raise ResourceError(
            path,
            f"has network format {metadata[FORMAT_KEY]}, this version reads {FORMAT_VERSION}",
            "update mobilegeo or train again",
        )


def _preprocessing(table: Mapping[str, Any]) -> Preprocessing:
    return Preprocessing(int(table["size_px"]), tuple(table["mean"]), tuple(table["std"]))


def _config(kind: Kind, table: dict[str, Any], preprocessing: Preprocessing) -> NetworkConfig:
    backbone = replace(
        BackboneConfig(**table["backbone"]),
        pretrained=False,
        weights=None,
        size_px=preprocessing.size_px,
    )
    values = table | {"backbone": backbone}
    return TeacherConfig(**values) if kind == "teacher" else StudentConfig(**values)


def _make(config: NetworkConfig, places: int) -> Network:
    if isinstance(config, TeacherConfig):
        return Teacher(config, places)
    return Student(config, places)
