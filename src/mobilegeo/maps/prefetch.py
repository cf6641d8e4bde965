"""One background thread that reads ahead while the main thread computes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
READ_AHEAD = 2
"""Results that may wait; bounds the memory."""


def prefetched(jobs: Sequence[Job], read: Callable[[Job], Result]) -> Iterator[tuple[Job, Result]]:
    """Yields every job with its result, in order; an error in `read` is raised here.

    The thread ends with the iteration, also when that is left early.
    """
    waiting: queue.Queue[tuple[Job, Result] | BaseException | None] = queue.Queue(READ_AHEAD)
    stopped = threading.Event()

    def put(item: tuple[Job, Result] | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def work() -> None:
        try:
            for job in jobs:
                if stopped.is_set():
                    return
                put((job, read(job)))
            put(None)
        except BaseException as error:  # handed to the main thread, whatever it is
            put(error)

    thread = threading.Thread(target=work, name="read-ahead", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
