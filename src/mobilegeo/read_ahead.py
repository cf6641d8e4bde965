"""Background threads that work on what comes next while the caller is busy with what is there.

Decoders, GDAL and the runtimes let go of Python's lock, so that reading and computing share the
cores. What is done waits in a queue of bounded length: memory does not grow with the work.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice, repeat
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

THREADS = "read-ahead"
AHEAD = 1
"""Jobs that wait, done or to be done, beside those in work and the one in use."""

PHOTO_READERS = 2
"""Threads for photos: decoding a large JPEG takes one core longer than retrieval takes two."""


def read_ahead(
    jobs: Iterable[Job], read: Callable[[Job], Result], *, readers: int = 1
) -> Iterator[tuple[Job, Future[Result]]]:
    """Yields every job with its reading, in order, while the next ones are being read.

    The reading's `result()` waits for it, and raises what `read` raised: an error of one job is
    that job's. The threads end with the iteration, also when that is left early; what has begun
    to be read then is still read to its end.

    Args:
        jobs: what to read; drawn from in the caller's thread.
        read: called in one of the threads.
        readers: how many threads; `read` must allow that many at once.
    """
    readings: deque[tuple[Job, Future[Result]]] = deque()
    with ThreadPoolExecutor(readers, thread_name_prefix=THREADS) as pool:
        try:
            for job in jobs:
                readings.append((job, pool.submit(read, job)))
                if len(readings) > readers + AHEAD:
                    yield readings.popleft()
            while readings:
                yield readings.popleft()
        finally:
            for _, reading in readings:
                reading.cancel()


def drawn_ahead(items: Iterable[Job]) -> Iterator[Job]:
    """The same items, drawn in a background thread: for iterators that take time themselves.

    An error of the iterator is raised where its item would have come.
    """
    source = iter(items)
    for _, drawn in read_ahead(repeat(None), lambda _: list(islice(source, 1))):
        if not drawn.result():
            return
        yield from drawn.result()
