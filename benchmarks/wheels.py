"""Which wheels a resolver finds for other computers, and how large they are unpacked.

    python benchmarks/wheels.py linux-arm64 --python 3.11 3.12 3.13
    python benchmarks/wheels.py linux-arm64 macos-arm64 windows-x64 --python 3.11 --everything

Asks pip (and so needs a network) for what `requirements/onboard.txt` names or, with `--everything`,
for all that `pip install mobilegeo` would install, as ready-made wheels and nothing else. Prints a
table for every computer and version of Python; what has no wheel ends the run with pip's message.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
ONBOARD = REPOSITORY / "requirements" / "onboard.txt"

# glibc 2.35 is Ubuntu 22.04's (JetPack 6); Raspberry Pi OS 12 has 2.36.
GLIBC = range(35, 16, -1)
PLATFORMS = {
    "linux-arm64": [f"manylinux_2_{minor}_aarch64" for minor in GLIBC] + ["manylinux2014_aarch64"],
    "linux-x64": [f"manylinux_2_{minor}_x86_64" for minor in GLIBC] + ["manylinux2014_x86_64"],
    "macos-arm64": [f"macosx_{major}_0_arm64" for major in range(15, 10, -1)],
    "windows-x64": ["win_amd64"],
}


def download(platform: str, python: str, *, everything: bool, folder: Path) -> list[Path]:
    """The wheels that pip chooses."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--only-binary", ":all:", "--python-version", python, "--dest", str(folder)]
    for tag in PLATFORMS[platform]:
        command += ["--platform", tag]
    if everything:
        project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
        command += project["project"]["dependencies"]
    else:
        command += ["--no-deps", "--requirement", str(ONBOARD)]
    subprocess.run(command, check=True)
    return sorted(folder.glob("*.whl"))


def unpacked_mb(wheel: Path) -> float:
    """Size of a wheel's files, 10⁶ bytes; bytecode that pip or Python may add is not in it."""
    with zipfile.ZipFile(wheel) as archive:
        return sum(entry.file_size for entry in archive.infolist()) / 1e6


def print_table(wheels: list[Path]) -> None:
    """One line a wheel, and the sum."""
    total = 0.0
    for wheel in wheels:
        name, version, *tags = wheel.stem.split("-")
        size = unpacked_mb(wheel)
        total += size
        print(f"| {name} | {version} | {tags[-3]}-{tags[-2]} | {tags[-1]} | {size:.1f} |")
    print(f"| in all | | | | {total:.1f} |")


def main() -> None:
    """Prints the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("platform", nargs="+", choices=PLATFORMS)
    parser.add_argument("--python", nargs="+", default=["3.11"], metavar="VERSION")
    parser.add_argument("--everything", action="store_true")
    args = parser.parse_args()
    for platform in args.platform:
        for python in args.python:
            print(f"\n{platform}, Python {python}\n")
            print("| package | version | Python | platform | MB unpacked |\n|---|---|---|---|---|")
            with tempfile.TemporaryDirectory() as folder:
                print_table(
                    download(platform, python, everything=args.everything, folder=Path(folder))
                )


if __name__ == "__main__":
    main()
