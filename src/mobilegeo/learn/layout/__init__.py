"""A layout head on a frozen trunk: simulate, run the trunk once, train the head many times."""

from mobilegeo.learn.layout.loop import run

__all__ = ["run"]
