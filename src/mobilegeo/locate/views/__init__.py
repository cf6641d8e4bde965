"""Many views of one place: choose the informative and diverse ones, and fuse them.

Multi-view selection and refinement of MobileGeo (Sun et al., arXiv 2510.22582), and alternatives to
it behind one interface. A `Selector` chooses from `Views`, which may be described by the network's
embeddings, or by what is known before the network has seen anything: pose and thumbnails.
"""

from mobilegeo.locate.views.fusion import Float64, fuse, importance
from mobilegeo.locate.views.glimpse import THUMBNAIL_PX, Glimpse, before_the_network, glimpse
from mobilegeo.locate.views.likeness import (
    Views,
    embedded,
    feature_distances,
    pose_distances,
    pose_likeness,
)
from mobilegeo.locate.views.selectors import SELECTORS, RandomViews, Selector, selector_named

__all__ = [
    "SELECTORS",
    "THUMBNAIL_PX",
    "Float64",
    "Glimpse",
    "RandomViews",
    "Selector",
    "Views",
    "before_the_network",
    "embedded",
    "feature_distances",
    "fuse",
    "glimpse",
    "importance",
    "pose_distances",
    "pose_likeness",
    "selector_named",
]
