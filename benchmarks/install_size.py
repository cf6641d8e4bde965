"""How much disk an environment takes, by distribution, bytecode included.

    python benchmarks/install_size.py drone --at-most-mb 350

Give the folder of a virtual environment, after its programs have run once, so that Python has
written the bytecode of what they import. With `--at-most-mb` a larger one ends with exit code 1.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from importlib.metadata import distributions
from pathlib import Path


def disk_mb(path: Path) -> float:
    """Blocks taken by a file, 10⁶ bytes, or by a link itself."""
    info = path.lstat()
    return getattr(info, "st_blocks", -(-info.st_size // 512)) * 512 / 1e6


def sizes_mb(environment: Path) -> Counter[str]:
    """Megabytes by distribution; files of none, such as the interpreter's link, as `others`."""
    packages = next(environment.glob("lib*/**/site-packages"))
    owners = {
        packages.joinpath(file).parts[len(packages.parts)]: f"{found.name} {found.version}"
        for found in distributions(path=[str(packages)])
        for file in found.files or ()
        if file.parts[0] not in ("..", "__pycache__")
    }
    sizes: Counter[str] = Counter()
    for path in environment.rglob("*"):
        inside = path.parts[len(packages.parts)] if packages in path.parents else ""
        sizes[owners.get(inside, "others")] += disk_mb(path)
    return sizes


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("environment", type=Path)
    parser.add_argument("--at-most-mb", type=float, default=float("inf"))
    args = parser.parse_args()
    sizes = sizes_mb(args.environment)
    for name, size in sizes.most_common():
        print(f"{size:8.1f} {name}")
    print(f"{sizes.total():8.1f} MB in all")
    if sizes.total() > args.at_most_mb:
        sys.exit(f"more than {args.at_most_mb:g} MB")


if __name__ == "__main__":
    main()
