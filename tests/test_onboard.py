"""What a drone carries: locating, tracking and evaluating without what only building needs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from cli_kit import SOURCES, Outcome, World, small_world
from conftest import REPOSITORY
from mobilegeo.errors import MissingExtraError
from mobilegeo.index.approximate import read_inverted
from mobilegeo.maps import open_map

LEFT_OUT = ("rasterio", "faiss", "arro3", "torch")
"""Packages that `requirements/onboard.txt` leaves out, as they are imported."""
LEFT_OUT_DISTRIBUTIONS = {"rasterio", "faiss-cpu", "arro3-core", "arro3-io"}

_WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({blocked!r}))  # importing any of them fails
sys.argv[0] = "mobilegeo"
from mobilegeo.cli import main
main()
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return small_world(tmp_path_factory.getbasetemp())


def onboard(*arguments: str | Path, blocked: tuple[str, ...] = LEFT_OUT) -> Outcome:
    """Runs the command line where packages cannot be imported."""
    result = subprocess.run(
        [sys.executable, "-c", _WITHOUT.format(blocked=blocked), *map(str, arguments)],
        env={"PYTHONPATH": str(SOURCES), "PATH": ""},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    return Outcome(result.returncode, result.stdout, result.stderr)


def test_locate_and_evaluate(world: World, tmp_path: Path) -> None:
    found = onboard("locate", *world.photos, "--map", world.pack, "--ignore-gps", "--json")
    assert (found.code, found.err) == (0, "")
    assert [record["status"] for record in found.records] == ["fix"] * 3
    fixes = tmp_path / "fixes.jsonl"
    fixes.write_text(found.out, encoding="utf-8")
    judged = onboard("evaluate", "--fixes", fixes, "--truth", world.truth_csv, "--json")
    assert judged.code == 0, judged.err
    assert json.loads(judged.out)["p90_error_m"] < 10


def test_the_answer_does_not_depend_on_what_is_installed(world: World) -> None:
    command = ("locate", world.photos[0], "--map", world.pack, "--ignore-gps", "--json")
    few, all_ = (onboard(*command, blocked=b).records[0] for b in (LEFT_OUT, ("torch",)))
    for record in (few, all_):
        record.pop("timing_ms")
    for name in ("lat", "lon", "sigma_m", "confidence", "heading_deg"):
        assert few.pop(name) == pytest.approx(all_.pop(name), rel=1e-6)
    assert [c["lat"] for c in few["candidates"]] == [c["lat"] for c in all_["candidates"]]


def test_track_and_report(world: World, tmp_path: Path) -> None:
    out = tmp_path / "track.gpx"
    arguments = ["--map", world.pack, "--fps", "1", "--out", out, "--report", tmp_path / "report"]
    flown = onboard("track", world.photos[0].parent, *arguments)
    assert flown.code == 0, flown.err
    assert out.stat().st_size > 0


def test_map_info(world: World) -> None:
    told = onboard("map", "info", world.pack, "--json")
    assert told.code == 0, told.err
    assert json.loads(told.out)["hashes_verified"] is True


@pytest.mark.parametrize("command", ["build", "demo"])
def test_what_needs_rasterio_says_so(world: World, tmp_path: Path, command: str) -> None:
    out = tmp_path / "out"
    build = ["map", "build", world.map_tif, "-o", out]
    refused = onboard(*(build if command == "build" else ["demo", "--out", out]))
    where = str(world.map_tif) if command == "build" else "mobilegeo demo"
    assert refused.code == 3
    assert f"{where}: needs rasterio, which is not installed; run: pip install rasterio" in (
        refused.err
    )
    assert not out.exists()


def test_a_raster_without_rasterio(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(MissingExtraError, match=r"map\.tif: needs rasterio.*built elsewhere"):
        open_map([world.map_tif])


def test_an_approximate_index_needs_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r"needs faiss, .*pip install faiss-cpu; or drop"):
        read_inverted(Path("area.pack/index.faiss"))


def test_the_list_holds_every_dependency_but_those_left_out() -> None:
    """Exact versions, each one that the project allows."""
    lines = (REPOSITORY / "requirements" / "onboard.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert all(re.fullmatch(r"[0-9][0-9.]*", version) for version in pins.values())
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {r.name: r.specifier for r in map(Requirement, project["dependencies"])}
    assert needed.keys() - pins.keys() == LEFT_OUT_DISTRIBUTIONS
    assert not [n for n in needed.keys() & pins.keys() if not needed[n].contains(pins[n])]
