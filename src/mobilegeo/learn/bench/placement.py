"""Where labels go so that none covers a bubble or another label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

GAP_PX = 4.0
"""Between a label and its bubble, and around every label."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether the two have an area in common."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def within(self, other: Box) -> bool:
        """Whether it lies inside another."""
        return (
            self.left >= other.left
            and self.top >= other.top
            and self.right <= other.right
            and self.bottom <= other.bottom
        )


@dataclass(frozen=True, slots=True)
class Circle:
    """A bubble on the drawing."""

    x: float
    y: float
    radius: float

    def meets(self, box: Box) -> bool:
        """Whether it reaches into a rectangle."""
        dx = self.x - min(max(self.x, box.left), box.right)
        dy = self.y - min(max(self.y, box.top), box.bottom)
        return dx * dx + dy * dy < self.radius * self.radius


@dataclass(frozen=True, slots=True)
class Label:
    """A label to be placed.

    Attributes:
        circle: its bubble.
        width, height: of its text.
    """

    circle: Circle
    width: float
    height: float


# Beside, above and below the bubble, then further and further away.
_SIDES = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1))
_STEPS = 16
_DISTANCES = (0.0, 12.0, 26.0, 42.0, 60.0, 80.0, 105.0, 135.0)


def place_labels(labels: Sequence[Label], taken: Sequence[Box], inside: Box) -> list[Box | None]:
    """Places labels one after the other, each as near to its bubble as is free.

    Args:
        labels: in the order in which they choose.
        taken: rectangles that must stay free.
        inside: where labels may lie.

    Returns:
        The box of each label's text; `None` where no place within reach is free.
    """
    circles = [label.circle for label in labels]
    occupied = list(taken)
    places: list[Box | None] = []
    for label in labels:
        place = next(
            (
                box
                for box in _candidates(label)
                if box.within(inside)
                and not any(box.meets(other) for other in occupied)
                and not any(circle.meets(box) for circle in circles)
                and not any(_crosses(label.circle, box, other) for other in occupied)
            ),
            None,
        )
        if place is not None:
            occupied.append(place)
        places.append(place)
    return places


def nearest(circle: Circle, box: Box) -> tuple[float, float]:
    """The point of a box that is nearest to a circle's centre, where its leader ends."""
    x = min(max(circle.x, box.left), box.right)
    return x, min(max(circle.y, box.top), box.bottom)


def _crosses(circle: Circle, box: Box, other: Box) -> bool:
    """Whether the line from a circle's centre to its label runs through another rectangle."""
    x, y = nearest(circle, box)
    steps = [number / _STEPS for number in range(_STEPS)]
    points = ((circle.x + s * (x - circle.x), circle.y + s * (y - circle.y)) for s in steps)
    return any(
        other.left <= px <= other.right and other.top <= py <= other.bottom for px, py in points
    )


def _candidates(label: Label) -> list[Box]:
    boxes = []
    circle, half_width, half_height = label.circle, label.width / 2, label.height / 2
    for distance, (across, down) in product(_DISTANCES, _SIDES):
        reach = circle.radius + GAP_PX + distance
        if across and down:
            reach *= 0.71
        x = circle.x + across * (reach + half_width)
        y = circle.y + down * (reach + half_height)
        boxes.append(Box(x - half_width, y - half_height, x + half_width, y + half_height))
    return boxes
