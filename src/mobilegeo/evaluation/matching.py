"""Which fix belongs to which row of the truth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from mobilegeo.errors import UsageError
from mobilegeo.evaluation.truth import Truth
from mobilegeo.fix import Fix


@dataclass(frozen=True, slots=True)
class Matching:
    """Fixes beside their truth.

    Attributes:
        pairs: (fix, truth) for every photo that both sides name, in the order of the fixes.
        without_truth: photos among the fixes that the truth does not name.
        without_fix: photos of the truth for which there is no record, not even `no_fix`.
    """

    pairs: tuple[tuple[Fix, Truth], ...]
    without_truth: tuple[str, ...]
    without_fix: tuple[str, ...]


def match_photos(fixes: Sequence[Fix], truth: Sequence[Truth]) -> Matching:
    """Pairs photos by path, else by file name, whatever its case.

    Of several rows with the file name, the one that shares most folders with the photo is meant,
    counted from the file upwards; so a full path matches itself first.

    Raises:
        UsageError: a photo is repeated, or which row is meant cannot be told.
    """
    by_name: dict[str, list[Truth]] = defaultdict(list)
    for row in truth:
        by_name[_parts(row.photo)[0]].append(row)
    claims: dict[str, list[_Claim]] = defaultdict(list)
    for index, fix in enumerate(fixes):
        candidates = by_name.get(_parts(fix.photo)[0], [])
        if candidates:
            row = _closest(fix.photo, candidates)
            claims[row.photo].append(_Claim(_shared(fix.photo, row.photo), index, fix.photo))
    owner_of = {photo: _owner(photo, rivals).index for photo, rivals in claims.items()}
    row_of = {owner_of[row.photo]: row for row in truth if row.photo in owner_of}
    return Matching(
        pairs=tuple((fix, row_of[index]) for index, fix in enumerate(fixes) if index in row_of),
        without_truth=tuple(fix.photo for i, fix in enumerate(fixes) if i not in row_of),
        without_fix=tuple(row.photo for row in truth if row.photo not in owner_of),
    )


@dataclass(frozen=True, slots=True)
class _Claim:
    """A fix that may belong to a row: shared path parts, index and name of the fix."""

    shared: int
    index: int
    photo: str


def _parts(photo: str) -> list[str]:
    """File name, folder, folder above …, in lower case; either kind of slash separates."""
    parts = photo.replace("\\", "/").casefold().split("/")
    return [part for part in reversed(parts) if part not in {"", "."}] or [""]


def _shared(a: str, b: str) -> int:
    """How many parts of two paths agree, counted from the file name upwards."""
    count = 0
    for part_a, part_b in zip(_parts(a), _parts(b), strict=False):
        if part_a != part_b:
            break
        count += 1
    return count


def _closest(photo: str, rows: Sequence[Truth]) -> Truth:
    """The row whose path shares most with the photo's."""
    exact = [row for row in rows if row.photo == photo]
    ranked = sorted(exact or rows, key=lambda row: _shared(photo, row.photo), reverse=True)
    best, *others = ranked
    if others and _shared(photo, best.photo) == _shared(photo, others[0].photo):
        raise UsageError(
            f"photo {photo}",
            f"matches both {best.photo} and {others[0].photo} in the truth",
            "name photos by their path in both files",
        )
    return best


def _owner(photo: str, rivals: Sequence[_Claim]) -> _Claim:
    """The fix whose path shares most with the truth's."""
    best, *others = sorted(rivals, key=lambda claim: claim.shared, reverse=True)
    if others and best.shared == others[0].shared:
        raise UsageError(
            f"photo {photo} of the truth",
            f"matches the fixes of both {best.photo} and {others[0].photo}",
            "keep one record a photo and name photos by their path in both files",
        )
    return best
