"""What a dataset says of itself, and how it is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mobilegeo.errors import DatasetError, UsageError
from mobilegeo.learn.datasets.findings import Finding, Inspection
from mobilegeo.learn.datasets.records import Benchmark

_DEPTH = 3
"""How many levels below a folder the dataset is looked for; archives nest up to two."""


@dataclass(frozen=True)
class Dataset:
    """One entry of the catalogue.

    Attributes:
        name: its key.
        title: as its authors write it.
        source: the official page.
        download: what to get from there.
        licence: the terms, in short.
        layout: the folder's tree, as unpacked.
        markers: sets of paths, relative to the root, of which one whole set tells the root.
        variants: settings to choose from, the first being the default; empty where there is one.
        inspect: looks at a folder, for one variant ("" where there are none).
    """

    name: str
    title: str
    source: str
    download: str
    licence: str
    layout: str
    markers: tuple[tuple[str, ...], ...]
    variants: tuple[str, ...]
    inspect: Callable[[Path, str], Inspection]

    def read(self, root: Path, variant: str | None = None) -> Benchmark:
        """Reads the dataset.

        Args:
            root: its folder.
            variant: one of `variants`; None takes the first.

        Raises:
            DatasetError: the folder is not this dataset, or a part of it is missing.
            UsageError: there is no such variant.
        """
        chosen = self.chosen_variant(variant)
        misplaced = self.misplaced(root)
        if misplaced is not None:
            raise DatasetError(misplaced.where, misplaced.problem, misplaced.cure)
        inspection = self.inspect(root, chosen)
        if inspection.errors:
            first, *others = inspection.errors
            more = f" (and {len(others)} more errors)" if others else ""
            hint = f"mobilegeo learn check-data {self.name} {root} tells all"
            raise DatasetError(first.where, f"{first.problem}{more}", f"{first.cure}; {hint}")
        return inspection.build()

    def chosen_variant(self, variant: str | None) -> str:
        """The variant to read, "" where there is no choice.

        Raises:
            UsageError: there is no such variant.
        """
        if variant is None:
            return self.variants[0] if self.variants else ""
        if variant not in self.variants:
            known = f"use one of: {', '.join(self.variants)}" if self.variants else "leave it out"
            raise UsageError(f"variant {variant!r}", f"{self.name} has none such", known)
        return variant

    def misplaced(self, root: Path) -> Finding | None:
        """Why a folder cannot be the root of this dataset; None where it can."""
        if not root.is_dir():
            return Finding("error", str(root), "is no folder", self._how_to_get())
        if any((root / path).exists() for paths in self.markers for path in paths):
            return None
        nearby = next((folder for folder in _around(root) if self._is_root(folder)), None)
        if nearby is not None:
            return Finding(
                "error", str(root), f"is not {self.title} itself, which lies in {nearby}",
                f"give that folder: {nearby}",
            )  # fmt: skip
        return Finding("error", str(root), f"is not {self.title}", self._how_to_get())

    def _is_root(self, folder: Path) -> bool:
        return any(all((folder / path).exists() for path in paths) for paths in self.markers)

    def _how_to_get(self) -> str:
        return f"get {self.download} from {self.source} and give the folder with\n{self.layout}"


def _around(root: Path) -> Iterator[Path]:
    """Folders in which an archive may have put the dataset: below first, then above."""
    level = [root]
    for _ in range(_DEPTH):
        level = [child for folder in level for child in _folders(folder)]
        yield from level
    yield from root.resolve().parents[:_DEPTH]


_MOST_FOLDERS = 100
"""A folder with more subfolders holds places, not archives."""


def _folders(folder: Path) -> list[Path]:
    try:
        children = [child for child in sorted(folder.iterdir()) if child.is_dir()]
    except OSError:
        return []
    return children[:_MOST_FOLDERS]
