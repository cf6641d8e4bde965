"""`mobilegeo learn evaluate` as it is typed."""

from __future__ import annotations

import csv
import json

import pytest
import torch

from cli_kit import call, run
from evaluate_kit import textured_twin
from mobilegeo.learn.evaluation.corruptions import CONDITIONS
from mobilegeo.learn.models.saved import save_network
from mobilegeo.learn.models.student import Student, StudentConfig
from mobilegeo.learn.models.timm_model import BackboneConfig


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """As training on University-1652 would leave it, but untrained."""
    torch.manual_seed(0)
    config = StudentConfig(BackboneConfig("convnext_atto", pretrained=False, size_px=32), 16)
    path = tmp_path_factory.mktemp("student") / "university.safetensors"
    places = ["0839", "0842", "0844"]
    save_network(
        path,
        Student(config, len(places)),
        kind="student",
        config=config,
        places=places,
        model_id="university-student",
    )
    return path


@pytest.fixture(scope="module")
def university(tmp_path_factory):
    return textured_twin("university1652", tmp_path_factory.mktemp("cli") / "University-Release")


@pytest.fixture(scope="module")
def sues(tmp_path_factory):
    return textured_twin("sues200", tmp_path_factory.mktemp("cli") / "SUES-200")


def evaluate(*arguments):
    return call("learn", "evaluate", *arguments)


def test_transfer_from_university_to_every_height_of_sues(student, sues) -> None:
    ended = evaluate(student, "--dataset", "sues200", "--root", sues, "--variant", "all", "--json")
    assert (ended.code, ended.err) == (0, "")
    (record,) = ended.records
    assert record["network"] == "university-student"
    assert {row["variant"] for row in record["rows"]} == {"150", "200", "250", "300"}
    assert len(record["rows"]) == 4 * 4
    assert record["command"].startswith("mobilegeo learn evaluate ")
    assert record["unreadable"] == []
    assert all(0.0 <= row["metrics"]["AP"] <= 1.0 for row in record["rows"])


def test_files_hold_the_table_and_how_it_came_about(student, university, tmp_path) -> None:
    out, cache = tmp_path / "out", tmp_path / "cache"
    arguments = (
        *(student, "--dataset", "university1652", "--root", university, "--cache", cache),
        *("--corrupt", "fog+rain", "--severity", "4", "--multi-view", "1,2"),
        *("--multi-view-method", "msrm,even,mean", "--out", out),
    )
    first = evaluate(*arguments)
    assert first.code == 0, first.err
    assert first.out.startswith("| dataset | task | condition | views | fused | encoded |")
    record = json.loads((out / "results.json").read_text())
    with (out / "results.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == len(record["rows"]) == 2 * (2 * (1 + 5) + 2)
    for row, full in zip(rows, record["rows"], strict=True):
        assert row["protocol"] == full["protocol"]
        assert float(row["AP (%)"]) == pytest.approx(100 * full["metrics"]["AP"])
    for text in ((out / name).read_text() for name in ("results.md", "results.tex")):
        assert record["network_sha256"] in text
        assert "mobilegeo learn evaluate" in text
    assert first.out.split("written to")[0] in (out / "results.md").read_text()
    pictures = {path.name for path in out.glob("*.png")}
    assert {"sheet-university1652-D2S-clean.png", "plot-university1652-D2S-clean.png"} <= pictures
    assert "sheet-university1652-S2D-fog+rain-4.png" in pictures
    assert len(pictures) == 6
    (again,) = evaluate(*arguments, "--json").records
    assert again["passed"] == 0
    assert again["rows"] == record["rows"]


def test_unreadable_images_are_named_and_the_exit_code_says_so(student, tmp_path) -> None:
    root = textured_twin("university1652", tmp_path / "twin")
    damaged = root / "test/query_drone/0001/image-27.jpeg"
    damaged.write_bytes(b"no image")
    out = tmp_path / "out"
    ended = evaluate(student, "--dataset", "university1652", "--root", root, "--out", out)
    assert ended.code == 1
    assert ended.err.count(f"mobilegeo: {damaged}: ") == 1
    assert "unreadable queries" in ended.out
    assert f"{damaged}: " in (out / "results.md").read_text()


def test_every_weather_by_one_word(student, university) -> None:
    ended = evaluate(
        *(student, "--dataset", "university1652", "--root", university, "--corrupt", "all"),
        *("--task", "d2s", "--protocol", "university1652-d2s", "--json"),
    )
    (record,) = ended.records
    names = [row["condition"]["name"] for row in record["rows"]]
    assert names == ["clean", *CONDITIONS, "blur"]


def test_a_shipped_encoder_by_name_in_a_process_of_its_own(tmp_path) -> None:
    root = textured_twin("folder", tmp_path / "own")
    ended = run("learn", "evaluate", "first", "--dataset", "folder", "--root", root)
    assert (ended.code, ended.err) == (0, "")
    assert "| folder | D2S | clean | folder-d2s | 2 | 3 |" in ended.out


@pytest.mark.parametrize(
    ("extra", "message", "code"),
    [
        (("--task", "sideways"), "--task sideways: is none; choose D2S, S2D or both", 2),
        (("--corrupt", "hail"), "corruption 'hail': is not known", 2),
        (("--corrupt", "fog", "--severity", "high"), "--severity high: is not a list of whole", 2),
        (("--multi-view", "some"), "--multi-view some: is not a list of whole numbers", 2),
        (("--multi-view", "2", "--multi-view-method", "x"), "view selection 'x': is not known", 2),
        (("--severity", "5"), "--severity: has no effect without --corrupt", 2),
        (("--multi-view-method", "even"), "has no effect without --multi-view;", 2),
        (("--multi-view", "2", "--task", "S2D"), "drones that ask; use --task D2S", 2),
        (("--protocol", "best"), "protocol best: is not known", 2),
        (("--variant", "150"), "variant '150': university1652 has none such", 2),
        (("--batch", "0"), "learn evaluate: Invalid value", 2),
    ],
)
def test_misuse_is_told(student, university, extra, message, code) -> None:
    ended = evaluate(student, "--dataset", "university1652", "--root", university, *extra)
    assert ended.code == code
    assert message in ended.err
    assert not ended.out


def test_missing_things_are_told(student, university, tmp_path) -> None:
    gone = tmp_path / "gone"
    ended = evaluate(student, "--dataset", "sues200", "--root", gone)
    assert ended.code == 3
    assert f"{gone}: is no folder; get SUES-200-512x512 from" in ended.err
    ended = evaluate(gone, "--dataset", "university1652", "--root", university)
    assert ended.code == 3
    (tmp_path / "file").touch()
    arguments = (student, "--dataset", "university1652", "--root", university)
    ended = evaluate(*arguments, "--out", tmp_path / "file")
    assert ended.code == 2
    assert "file: cannot be made" in ended.err
