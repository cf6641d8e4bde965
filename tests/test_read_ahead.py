from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from mobilegeo.read_ahead import AHEAD, THREADS, drawn_ahead, read_ahead


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith(THREADS)]


@pytest.mark.parametrize("readers", [1, 2])
def test_order_is_kept(readers: int) -> None:
    pairs = read_ahead(range(50), lambda n: n * n, readers=readers)
    assert [(n, reading.result()) for n, reading in pairs] == [(n, n * n) for n in range(50)]
    assert not threads()


def test_reading_goes_on_while_the_one_before_is_in_use() -> None:
    second = threading.Event()
    stream = read_ahead(range(5), lambda n: second.set() if n == 1 else None)
    next(stream)
    assert second.wait(10.0)
    stream.close()


@pytest.mark.parametrize("readers", [1, 2])
def test_no_more_is_read_than_may_wait(readers: int) -> None:
    begun = []
    stream = read_ahead(range(1000), begun.append, readers=readers)
    for used in range(1, 20):
        next(stream)[1].result()
        assert len(begun) <= used + readers + AHEAD
    stream.close()
    assert not threads()


def test_an_error_is_that_jobs_own() -> None:
    readings = [reading for _, reading in read_ahead([1, 0, 2], lambda n: 2 // n)]
    assert (readings[0].result(), readings[2].result()) == (2, 1)
    with pytest.raises(ZeroDivisionError):
        readings[1].result()


def test_an_interruption_ends_the_threads() -> None:
    def consume() -> None:
        for number, _ in read_ahead(range(1000), lambda n: n, readers=2):
            if number == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    assert not threads()


def test_an_iterator_is_drawn_from_in_the_background() -> None:
    names = set()

    def items() -> Iterator[int]:
        for number in range(10):
            names.add(threading.current_thread().name)
            yield number

    assert list(drawn_ahead(items())) == list(range(10))
    assert all(name.startswith(THREADS) for name in names)


def test_an_iterators_error_comes_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    stream = drawn_ahead(items())
    assert next(stream) == 1
    with pytest.raises(ValueError, match="broken"):
        next(stream)
    assert not threads()
