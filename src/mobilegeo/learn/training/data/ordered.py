"""Runs jobs in threads and hands out the results in order.

Decoding and OpenCV release Python's lock, so threads use all cores without copies of the dataset's
records or of the images, which worker processes would need.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def in_order(jobs: Iterable[Callable[[], Result]], workers: int, ahead: int) -> Iterator[Result]:
    """Yields the result of each job; an error of a job is raised in its place.

    The threads end with the iteration, also when that is left early.

    Args:
        jobs: run in about this order.
        workers: threads.
        ahead: most results that wait to be taken; bounds the memory.
    """
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="views")
    try:
        for job in jobs:
            waiting.append(pool.submit(job))
            if len(waiting) >= max(ahead, 1):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
