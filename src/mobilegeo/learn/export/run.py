"""An export from start to finish: write, prove, and only then give the file its name."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mobilegeo.encoder import SHIPPED, load_encoder
from mobilegeo.encoder.base import FLOAT32, PRECISIONS
from mobilegeo.errors import UsageError
from mobilegeo.learn.checkpoint import read_metadata
from mobilegeo.learn.datasets.sources import Source
from mobilegeo.learn.export.aligned import aligned_encode, base_of, write_aligned
from mobilegeo.learn.export.half import halve
from mobilegeo.learn.export.imagery import generated, halves, images_of, open_imagery, views_of
from mobilegeo.learn.export.network import read_checkpoint
from mobilegeo.learn.export.onnx import write_onnx
from mobilegeo.learn.export.parity import (
    Encode,
    Parity,
    compare,
    require_parity,
    torch_encode,
)
from mobilegeo.learn.export.quantize import quantise
from mobilegeo.learn.export.recall import (
    QUERIES,
    RecallChange,
    recall_on_dataset,
    recall_on_pairs,
    require_recall,
)
from mobilegeo.learn.export.source import model_file
from mobilegeo.learn.models.saved_head import holds_head, load_head
from mobilegeo.output.atomic import make_folder

CALIBRATION_IMAGES = 64
COMPARED_IMAGES = 16

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be exported.

    Attributes:
        source: a checkpoint of `learn train`, an exported float32 `.onnx` file, or the name of a
            shipped encoder.
        out: the `.onnx` file to write.
        precision: a name in `PRECISIONS`.
        imagery: see `imagery.open_imagery`; half of it calibrates int8, the other half judges.
            None takes a generated world, which is not enough for int8.
        held_out: a folder of `learn simulate` to judge on instead.
        queries: simulated photos to judge with, without `held_out`.
        seed: of the split and the views.
    """

    source: str
    out: Path
    precision: str = FLOAT32
    imagery: Path | None = None
    held_out: Path | None = None
    queries: int = QUERIES
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        path: the file.
        sha256: of the file, hexadecimal.
        size: bytes.
        precision: of the file.
        against: what it was compared with: `torch`, or `float32` for a derived file.
        parity: the comparison.
        recall: before and after, for a derived file.
    """

    path: Path
    sha256: str
    size: int
    precision: str
    against: str
    parity: Parity
    recall: RecallChange | None = None

    def to_record(self) -> dict[str, Any]:
        """One JSON object."""
        return asdict(self) | {"path": str(self.path)}

    def summary(self) -> str:
        """Lines for a terminal."""
        parity = self.parity
        lines = [f"{self.path}: {self.precision}, {self.size / 1e6:.2f} MB, sha256 {self.sha256}"]
        lines.append(
            f"cosines with {self.against} on {parity.images} images: embeddings "
            f"{parity.embedding_min:.6f} or more, median {parity.embedding_median:.6f}; features "
            f"{parity.features_min:.6f} or more, median {parity.features_median:.6f}"
        )
        if self.recall is not None:
            recall = self.recall
            lines.append(
                f"recall@1 of {recall.queries} held-out queries: {100 * recall.before:.2f} % "
                f"before, {100 * recall.after:.2f} % after, drop {100 * recall.drop:.2f} ± "
                f"{100 * recall.standard_error:.2f} points"
            )
        return "\n".join(lines)


def _silent(stage: str, done: int, total: int) -> None:
    """Tells nothing."""


def export(request: Request, progress: Progress = _silent) -> Exported:
    """Writes an encoder file, or nothing.

    Raises:
        UsageError: the request contradicts itself.
        ResourceError: the source or imagery cannot be used; the file differs from the network by
            more than `parity.FLOAT32_LIMIT`, or loses more than `recall.LARGEST_DROP` of recall.
    """
    _check(request)
    make_folder(request.out.parent)
    with tempfile.TemporaryDirectory(dir=request.out.parent, suffix=".partial") as folder:
        made, done = _make(request, Path(folder), progress)
        content = made.read_bytes()
        made.replace(request.out)
    return Exported(
        request.out,
        hashlib.sha256(content).hexdigest(),
        len(content),
        request.precision,
        **done,
    )


def _check(request: Request) -> None:
    if request.precision not in PRECISIONS:
        raise UsageError(
            f"--precision {request.precision}", "is none", f"choose {', '.join(PRECISIONS)}"
        )
    if request.out.suffix.lower() != ".onnx":
        raise UsageError(request.out, "does not end in .onnx", "name the file so")
    if request.precision == "int8" and request.imagery is None:
        raise UsageError(
            "--precision int8",
            "needs imagery to find the ranges of the activations",
            "give --calibrate with a folder of images or a georeferenced map",
        )
    if request.precision == FLOAT32 and not _is_checkpoint(request.source):
        raise UsageError(
            request.source, "is exported already", "choose --precision float16 or int8"
        )
    if request.precision == FLOAT32 and request.held_out is not None:
        raise UsageError(
            "--held-out", "judges float16 and int8 files", "leave it out, or choose a --precision"
        )


def _is_checkpoint(source: str) -> bool:
    return source not in SHIPPED and Path(source).suffix.lower() != ".onnx"


def _make(request: Request, folder: Path, progress: Progress) -> tuple[Path, dict[str, Any]]:
    """The proven file in `folder`, and how it was proven."""
    if not _is_checkpoint(request.source):
        return _derive(request, model_file(request.source), folder, progress)
    base, reference = _float32(Path(request.source), folder / "float32.onnx")
    spec = load_encoder(base).spec
    sources = generated() if request.imagery is None else open_imagery(request.imagery, spec)
    images = images_of(views_of(sources, spec, request.seed), COMPARED_IMAGES)
    parity = compare(reference, load_encoder(base).encode, images)
    require_parity(parity, request.out)
    if request.precision == FLOAT32:
        return base, {"against": "torch", "parity": parity}
    return _derive(request, base, folder, progress)


def _float32(checkpoint: Path, out: Path) -> tuple[Path, Encode]:
    """A checkpoint's encoder as a file, and what to compare it with."""
    if holds_head(read_metadata(checkpoint)):
        saved = load_head(checkpoint)
        encoder = base_of(saved)
        return write_aligned(saved, encoder, out), aligned_encode(saved, encoder)
    model, spec = read_checkpoint(checkpoint)
    return write_onnx(model, spec, out), torch_encode(model, spec)


def _derive(
    request: Request, base: Path, folder: Path, progress: Progress
) -> tuple[Path, dict[str, Any]]:
    """A file of reduced precision, compared with the float32 one it is made from."""
    original, made = load_encoder(base), folder / "derived.onnx"
    spec = original.spec
    judged: list[Source] = generated()
    if request.imagery is not None:
        used, judged = halves(open_imagery(request.imagery, spec), request.seed)
    if request.precision == "int8":
        quantise(base, made, images_of(views_of(used, spec, request.seed), CALIBRATION_IMAGES))
    else:
        halve(base, made)
    reduced, views = load_encoder(made), views_of(judged, spec, request.seed + 1)
    parity = compare(original.encode, reduced.encode, images_of(views, COMPARED_IMAGES))
    both = (original, reduced)
    if request.held_out is None:
        hits = recall_on_pairs(both, views, request.queries, progress)
    else:
        hits = [recall_on_dataset(encoder, request.held_out, progress) for encoder in both]
    recall = RecallChange.of(*hits)
    require_recall(recall, request.out)
    return made, {"against": FLOAT32, "parity": parity, "recall": recall}
