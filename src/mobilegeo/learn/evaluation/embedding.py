"""From views to embeddings: each image through the network once, whoever asks for it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mobilegeo.errors import EncoderError, PhotoError
from mobilegeo.learn.datasets.records import View
from mobilegeo.learn.evaluation.cache import EmbeddingCache
from mobilegeo.learn.evaluation.images import CLEAN, Condition, file_digest, load_image, view_key
from mobilegeo.learn.evaluation.networks import Network

Progress = Callable[[str, int, int], None]
"""Called with a stage's name, steps done and steps in all."""
BATCH = 32
_CHUNK = 1024
"""Views whose files are hashed before the new ones among them are embedded."""
_THREADS = min(16, os.cpu_count() or 1)
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Embedded:
    """Embeddings of views, row by row.

    Attributes:
        vectors: float32 [N, D], L2-normalised; zeros where the image could not be read.
        unreadable: row → what is wrong with its file.
    """

    vectors: NDArray[np.float32]
    unreadable: Mapping[int, PhotoError]

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Rows with an embedding, bool [N]."""
        mask = np.ones(len(self.vectors), dtype=np.bool_)
        mask[list(self.unreadable)] = False
        return mask


@dataclass(frozen=True)
class _Task:
    """A view whose file is there, perhaps damaged."""

    view: View
    key: bytes
    digest: bytes


class ViewEmbedder:
    """Embeds views through a cache.

    Args:
        network: makes the embeddings.
        cache_folder: where they are kept between runs; None keeps them while this object lives.
        batch: images a pass.
        progress: is told of every stage.

    Raises:
        UsageError: the cache's folder cannot be made.
        ResourceError: the cache is damaged.
    """

    def __init__(
        self,
        network: Network,
        cache_folder: Path | None = None,
        *,
        batch: int = BATCH,
        progress: Progress | None = None,
    ) -> None:
        self.network = network
        self.passed = 0
        """Images that went through the network."""
        self._cache = EmbeddingCache(cache_folder, network_key(network))
        self._batch = batch
        self._progress = progress
        self._digests: dict[Path, bytes] = {}

    def embed(self, views: Sequence[View], stage: str, condition: Condition = CLEAN) -> Embedded:
        """Embeds views; an unreadable image is recorded and the others go on.

        Args:
            views: of one side.
            stage: name for the progress.
            condition: in which drone views are seen.

        Raises:
            EncoderError: the network cannot embed, or gives no numbers.
            UsageError: the cache cannot be written.
        """
        unreadable: dict[int, PhotoError] = {}
        keys: list[bytes | None] = []
        with ThreadPoolExecutor(_THREADS) as pool, self._cache:
            for chunk in _slices(views, _CHUNK):
                tasks = list(pool.map(lambda view: self._task(view, condition), chunk))
                damaged = self._embed_new(pool, tasks, condition, stage, len(keys), len(views))
                for view, task in zip(chunk, tasks, strict=True):
                    problem = task if isinstance(task, PhotoError) else damaged.get(task.key)
                    if problem is not None:  # of this content, perhaps met under another path
                        own = PhotoError(view.path, problem.problem, problem.cure)
                        unreadable[len(keys)] = own
                    keys.append(None if isinstance(task, PhotoError) or problem else task.key)
                self._tell(stage, len(keys), len(views))
        return Embedded(self._gather(keys), unreadable)

    def _task(self, view: View, condition: Condition) -> _Task | PhotoError:
        try:
            digest = self._digests.get(view.path) or file_digest(view.path)
        except PhotoError as error:
            return error
        self._digests[view.path] = digest
        return _Task(view, view_key(view, digest, condition), digest)

    def _embed_new(
        self,
        pool: ThreadPoolExecutor,
        tasks: Sequence[_Task | PhotoError],
        condition: Condition,
        stage: str,
        done: int,
        total: int,
    ) -> dict[bytes, PhotoError]:
        """Fills the cache; returns what could not be decoded, by key."""
        new = {
            task.key: task
            for task in tasks
            if not isinstance(task, PhotoError) and task.key not in self._cache
        }
        damaged = {}
        for batch, images in self._loaded(pool, list(new.values()), condition):
            good = [image for image in images if not isinstance(image, PhotoError)]
            keys = []
            for task, image in zip(batch, images, strict=True):
                if isinstance(image, PhotoError):
                    damaged[task.key] = image
                else:
                    keys.append(task.key)
            if good:
                self._cache.add(keys, self._pass(np.stack(good)))
            done += len(batch)
            self._tell(stage, done, total)
        return damaged

    def _loaded(
        self, pool: ThreadPoolExecutor, tasks: list[_Task], condition: Condition
    ) -> Iterator[tuple[Sequence[_Task], list[NDArray[np.uint8] | PhotoError]]]:
        """Batches of images; the next one is decoded while the caller computes."""
        batches = list(_slices(tasks, self._batch))
        size_px = self.network.size_px

        def start(number: int) -> list[Future[NDArray[np.uint8] | PhotoError]]:
            wanted = batches[number] if number < len(batches) else ()
            return [pool.submit(_load, task, size_px, condition) for task in wanted]

        waiting = start(0)
        for number, batch in enumerate(batches):
            images = [future.result() for future in waiting]
            waiting = start(number + 1)
            yield batch, images

    def _pass(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        vectors = self.network.embed(images)
        self.passed += len(images)
        if not np.isfinite(vectors).all():
            raise EncoderError(
                self.network.id,
                "gives NaN or infinity instead of an embedding",
                "take an earlier checkpoint: the training has diverged",
            )
        return vectors

    def _gather(self, keys: Sequence[bytes | None]) -> NDArray[np.float32]:
        found = self._cache.vectors([key for key in keys if key is not None])
        if len(found) == len(keys):
            return found
        vectors = np.zeros((len(keys), found.shape[1]), dtype=np.float32)
        vectors[[row for row, key in enumerate(keys) if key is not None]] = found
        return vectors

    def _tell(self, stage: str, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(stage, done, total)


def network_key(network: Network) -> str:
    """What tells embeddings of one network and input size from all others, hexadecimal.

    The file's hash covers the weights and the normalisation that travels with them.
    """
    return hashlib.sha256(f"{network.sha256} {network.size_px}".encode()).hexdigest()


def _load(task: _Task, size_px: int, condition: Condition) -> NDArray[np.uint8] | PhotoError:
    try:
        return load_image(task.view, size_px, task.digest, condition)
    except PhotoError as error:
        return error


def _slices(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
