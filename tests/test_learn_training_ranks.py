"""Two processes under torchrun do what one process does with the joint batch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from timm.layers.norm_act import BatchNormAct2d  # noqa: E402
from torch import nn  # noqa: E402

import training_ranks  # noqa: E402
from conftest import REPOSITORY  # noqa: E402
from mobilegeo.errors import UsageError  # noqa: E402
from mobilegeo.learn.training.distributed import Ranks, _device, joined_ranks  # noqa: E402
from mobilegeo.learn.training.joint_norm import (  # noqa: E402
    JointBatchNorm,
    join_batch_norms,
    statistics_kept,
)

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
ALONE = Ranks(0, 1, torch.device("cpu"))


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    """Float64, so that what is compared is the mathematics and not the order of sums."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What both ranks of a real torchrun wrote."""
    folder = tmp_path_factory.mktemp("ranks")
    script = REPOSITORY / "tests" / "training_ranks.py"
    python(*TORCHRUN, str(script), str(folder))
    return folder


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    paths = [str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")]
    result = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result


@pytest.mark.parametrize("case", training_ranks.CASES)
def test_two_processes_equal_one_with_the_joint_batch(two_ranks: Path, case: str) -> None:
    expected = training_ranks.after_a_step(case, ALONE)
    found = load_file(two_ranks / f"{case}-0.safetensors")
    assert found.keys() == expected.keys()
    assert sum(name.startswith("gradient.network") for name in found) > 30
    largest = max(float(t.abs().max()) for name, t in expected.items() if "gradient" in name)
    for name, tensor in expected.items():
        if name.startswith("moved"):
            continue  # AdamW's first step is the gradient's sign, whatever its size
        # What should be 0 is noise: gradients of biases before a norm pass float32 embeddings,
        # the mean of a symmetric channel is rounded in float64.
        atol = 1e-7 * largest if name.startswith("gradient") else 1e-12
        torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=atol, msg=name)


@pytest.mark.parametrize("case", training_ranks.CASES)
def test_ranks_stay_in_step_to_the_bit(two_ranks: Path, case: str) -> None:
    one, other = (load_file(two_ranks / f"{case}-{rank}.safetensors") for rank in (0, 1))
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


class TestJointBatchNorm:
    @pytest.fixture(autouse=True)
    def one_rank(self, tmp_path: Path) -> Iterator[None]:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1
        )
        yield
        torch.distributed.destroy_process_group()

    @pytest.mark.parametrize(
        ("local", "shape"),
        [
            (nn.BatchNorm1d(5), (6, 5)),
            (nn.BatchNorm2d(5, momentum=0.3), (2, 5, 3, 4)),
            (BatchNormAct2d(5), (2, 5, 3, 4)),
        ],
        ids=["1d", "2d", "with_activation"],
    )
    @pytest.mark.parametrize("training", [True, False])
    def test_alone_is_pytorchs(
        self, local: nn.Module, shape: tuple[int, ...], training: bool
    ) -> None:
        import copy

        nn.init.uniform_(local.weight)
        nn.init.uniform_(local.bias)
        local.double().train(training)
        holder = nn.Sequential(copy.deepcopy(local))
        join_batch_norms(holder)
        assert isinstance(holder[0], JointBatchNorm)
        holder.train(training)
        x = torch.randn(shape).requires_grad_()
        y = x.detach().clone().requires_grad_()
        expected, found = local(x), holder(y)
        torch.testing.assert_close(found, expected)
        weights = torch.randn(shape)
        (expected * weights).sum().backward()
        (found * weights).sum().backward()
        torch.testing.assert_close(y.grad, x.grad)
        for name, tensor in local.state_dict().items():
            torch.testing.assert_close(holder[0].state_dict()[name], tensor)

    def test_keeps_the_names_of_the_state(self) -> None:
        network = training_ranks.student("test_efficientnet")
        before = set(network.state_dict())
        join_batch_norms(network)
        assert set(network.state_dict()) == before
        assert not any(isinstance(m, nn.BatchNorm2d) for m in network.modules())

    def test_leaves_frozen_norms_alone(self) -> None:
        holder = nn.Sequential(nn.BatchNorm2d(3).requires_grad_(False), nn.BatchNorm2d(3))
        join_batch_norms(holder)
        assert [type(m) for m in holder] == [nn.BatchNorm2d, JointBatchNorm]

    @pytest.mark.parametrize("joint", [True, False])
    def test_statistics_can_be_kept(self, joint: bool) -> None:
        holder = nn.Sequential(nn.BatchNorm1d(4)).double()
        if joint:
            join_batch_norms(holder)
        before = {name: t.clone() for name, t in holder.state_dict().items()}
        with statistics_kept(holder):
            holder(torch.randn(6, 4) + 3)
        assert all(torch.equal(t, before[name]) for name, t in holder.state_dict().items())
        holder(torch.randn(6, 4) + 3)
        assert int(holder[0].num_batches_tracked) == 1


def test_alone_unless_torchrun_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined_ranks() as ranks:
        assert (ranks.rank, ranks.world, ranks.first) == (0, 1, True)
        rows = torch.ones(2)
        assert ranks.gather(rows) is rows
        assert ranks.share({"a": 1}) == {"a": 1}


def test_refuses_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="starts process 1 on a machine with 1 GPUs; lower --npro"):
        _device(1)


@pytest.mark.slow
def test_a_run_under_torchrun_ends_as_a_run_alone(tmp_path: Path) -> None:
    """The documented command, whole: sampling, evaluation, files, from both processes."""
    import json

    from training_kit import write_config

    found = {}
    for name, launcher in {"alone": (), "two": TORCHRUN}.items():
        folder = tmp_path / name
        folder.mkdir()
        config = write_config(folder)
        result = python(
            *launcher, "-m", "mobilegeo", "learn", "train", str(config),
            "--set", "student.dropout=0", "--set", "sampling.hard_from_epoch=1",
        )  # fmt: skip
        assert result.stdout.splitlines()[-1] == str(folder / "run" / "network.safetensors")
        text = (folder / "run" / "metrics.jsonl").read_text()
        found[name] = [json.loads(line) for line in text.splitlines()]
    assert [line["step"] for line in found["two"]] == [3, 6]
    for name, value in found["alone"][0].items():
        if name.startswith("loss"):
            assert found["two"][0][name] == pytest.approx(value, rel=1e-3)
