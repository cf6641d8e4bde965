"""The method's terms over the places of a batch, and the teachers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from torch.nn import functional  # noqa: E402

from mobilegeo.errors import ResourceError, UsageError  # noqa: E402
from mobilegeo.learn.checkpoint import tensors_of, write_tensors  # noqa: E402
from mobilegeo.learn.export.network import described  # noqa: E402
from mobilegeo.learn.layout.objective import (  # noqa: E402
    InBatchLogits,
    LayoutObjective,
    LayoutWeights,
    Taught,
)
from mobilegeo.learn.layout.recall import embed_pairs  # noqa: E402
from mobilegeo.learn.layout.stages import STEP, TrunkStages, packed, unpacked  # noqa: E402
from mobilegeo.learn.layout.teachers import TEMPERATURE, Ensemble  # noqa: E402
from mobilegeo.learn.losses.divergence import softened_kl  # noqa: E402
from mobilegeo.learn.losses.info_nce import MultiPositiveInfoNCE  # noqa: E402
from mobilegeo.learn.models.backbone import FrozenTrunk, load_mobilenet  # noqa: E402
from mobilegeo.learn.models.place_encoder import ModelConfig, PlaceEncoder  # noqa: E402

METHOD = LayoutWeights(exit_info_nce=0.25, fisd=0.5, triplet=0.3, uapa=0.2, cross=0.3)
NOBODY = torch.zeros(6, 6, dtype=torch.bool)


def sides(seed: int, places: int = 6, dim: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(2, places, dim, generator=generator)
    query, tile = functional.normalize(values, dim=2)
    return query, tile


def test_alone_it_is_the_symmetric_info_nce_of_the_papers_trainer() -> None:
    query, tile = sides(1)
    loss = LayoutObjective(LayoutWeights(), 0, 8)([(query, tile)], NOBODY)
    expected = MultiPositiveInfoNCE()(query, tile, torch.eye(6, dtype=torch.bool))
    torch.testing.assert_close(loss.total, expected)
    assert list(loss.terms) == ["info_nce"]


def test_overlapping_places_are_as_if_they_were_not_there() -> None:
    query, tile = sides(2, places=3)
    ignored = torch.zeros(3, 3, dtype=torch.bool)
    ignored[0, 1] = ignored[1, 0] = True
    loss = LayoutObjective(LayoutWeights(triplet=1.0), 0, 8)([(query, tile)], ignored)
    z = query @ tile.T / 0.07
    by_hand = []
    for logits in (z, z.T):
        rows = [logits[0, [0, 2]], logits[1, [1, 2]], logits[2]]
        by_hand += [torch.logsumexp(r, 0) - logits[i, i] for i, r in enumerate(rows)]
    torch.testing.assert_close(loss.terms["info_nce"], torch.stack(by_hand).mean())
    apart = torch.cdist(query, tile)
    first = (apart[0, 0] - apart[0, 2] + 0.3).relu()
    assert loss.terms["triplet"] >= first / 6 - 1e-6


def test_shallow_exits_teach_the_head_and_learn_nothing_from_it() -> None:
    shallow, deep = sides(3), sides(4)
    embeddings = [tuple(side.clone().requires_grad_() for side in s) for s in (shallow, deep)]
    objective = LayoutObjective(LayoutWeights(exit_info_nce=0.25, fisd=1.0), 1, 8)
    terms = objective(embeddings, NOBODY).terms
    z_shallow, z_deep = (q @ t.T / 0.07 for q, t in (shallow, deep))
    forth, back = softened_kl(z_shallow, z_deep, 4.0), softened_kl(z_shallow.T, z_deep.T, 4.0)
    torch.testing.assert_close(terms["fisd"], 0.3 * (forth + back) / 2)
    terms["fisd"].backward()
    assert embeddings[0][0].grad is None
    assert embeddings[1][0].grad.abs().sum() > 0


def test_teachers_pull_logits_and_features() -> None:
    student, teacher = sides(5), sides(6, dim=12)
    taught = Taught(teacher[0] @ teacher[1].T / 0.05, teacher)
    objective = LayoutObjective(LayoutWeights(cross=1.0), 0, 8, teacher_dim=12)
    loss = objective([student], NOBODY, taught)
    z = student[0] @ student[1].T / 0.07
    forth = softened_kl(taught.logits, z, 4.0)
    back = softened_kl(taught.logits.T, z.T, 4.0)
    torch.testing.assert_close(loss.terms["cross_logits"], (forth + back) / 2)
    expected = loss.terms["info_nce"] + loss.terms["cross_logits"] + loss.terms["cross_features"]
    torch.testing.assert_close(loss.total, expected)


def test_all_terms_have_finite_gradients_even_with_overlaps() -> None:
    ignored = NOBODY.clone()
    ignored[2, 3] = ignored[3, 2] = True
    exits = [tuple(s.clone().requires_grad_() for s in sides(seed)) for seed in (7, 8, 9)]
    teacher = sides(10)
    logits = InBatchLogits()(teacher, ignored).detach()
    objective = LayoutObjective(METHOD, 2, 8, teacher_dim=8)
    loss = objective(exits, ignored, Taught(logits, teacher))
    loss.total.backward()
    assert set(loss.terms) == {
        "info_nce", "fisd", "triplet", "uapa", "cross_logits", "cross_features",
    }  # fmt: skip
    for side in (side for pair in exits for side in pair):
        assert torch.isfinite(side.grad).all()
        assert side.grad.abs().sum() > 0
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in objective.parameters())


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"triplet": -1.0}, "triplet: weight -1.0 is negative"),
        ({"info_nce": 0.0}, "info_nce: is 0, so that nothing is learnt"),
        ({"fisd": 1.0}, "fisd: would teach with exits that nothing trains"),
    ],
)
def test_weights_that_cannot_be_meant(weights: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LayoutWeights(**weights)


@pytest.mark.parametrize(
    ("weights", "exits", "teacher_dim", "message"),
    [
        (LayoutWeights(exit_info_nce=1.0), 0, 0, "exit_info_nce: has a weight, but there are no"),
        (LayoutWeights(), 2, 0, "exits: are given, but exit_info_nce is 0"),
        (LayoutWeights(cross=0.3), 0, 0, "cross: has a weight, but there are no teachers"),
        (LayoutWeights(), 0, 16, "teachers: are given, but cross is 0"),
    ],
)
def test_weights_must_fit_exits_and_teachers(
    weights: LayoutWeights, exits: int, teacher_dim: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        LayoutObjective(weights, exits, 8, teacher_dim)


@pytest.fixture(scope="module")
def trunk() -> FrozenTrunk:
    torch.manual_seed(0)
    return FrozenTrunk(load_mobilenet(None), 3)


def test_stages_are_those_of_the_network_on_one_grid(trunk: FrozenTrunk) -> None:
    stages = TrunkStages(trunk, (1, 2))
    image = torch.rand(2, 3, 64, 96) * 2 - 1
    grids = stages.raw(image)
    assert stages.channels == {1: 24, 2: 32, 3: 64}
    assert grids.shape == (2, 120, 4, 6)
    deepest = stages.channels_at([3])
    torch.testing.assert_close(grids[:, deepest], trunk(image))
    middle = trunk.blocks[:3](trunk.stem(image))
    averaged = functional.adaptive_avg_pool2d(middle, (4, 6))
    torch.testing.assert_close(grids[:, stages.channels_at([2])], averaged)


@pytest.mark.parametrize("shallow", [(3,), (2, 1), (1, 1), (-1,)])
def test_stages_must_lie_below_the_last(trunk: FrozenTrunk, shallow: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"are not different stages below the trunk's last, 3"):
        TrunkStages(trunk, shallow)


def test_packing_rounds_to_half_a_step() -> None:
    values = np.random.default_rng(0).normal(0, 1.5, (4, 5, 6)).astype(np.float32)
    assert abs(unpacked(packed(values)).numpy() - values).max() <= STEP / 2 + 1e-6
    assert unpacked(packed(np.float32([100.0, -100.0]))).tolist() == pytest.approx([6.35, -6.35])


def written_teacher(path: Path, temperature: float | None) -> PlaceEncoder:
    model = PlaceEncoder(ModelConfig(16, 3, 64, hidden_dim=8, cell_dim=4, shallow=(2,)), None)
    said = {} if temperature is None else {TEMPERATURE: repr(temperature)}
    write_tensors(path, tensors_of({"model": model}), described(model, "teacher") | said)
    return model.eval()


def test_an_ensemble_averages_logits_and_joins_embeddings(
    trunk: FrozenTrunk, tmp_path: Path
) -> None:
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    models = [written_teacher(*each) for each in zip(paths, (0.1, 0.2), strict=True)]
    stages = TrunkStages(trunk, (1, 2))
    rng = np.random.default_rng(1)
    grids = rng.integers(-60, 60, (5, 2, 120, 7, 7)).astype(np.int8)
    coverage = np.full((5, 2, 7, 7), 255, np.uint8)
    ensemble = Ensemble(paths, stages)
    nobody = torch.zeros(5, 5, dtype=torch.bool)
    taught = ensemble.teach(grids, coverage, nobody)
    seen = grids[:, :, stages.channels_at([2, 3])]
    with torch.no_grad():
        apart = [embed_pairs(model.head, seen, coverage) for model in models]
    logits = [q @ t.T / tau for (q, t), tau in zip(apart, (0.1, 0.2), strict=True)]
    torch.testing.assert_close(taught.logits, (logits[0] + logits[1]) / 2)
    assert ensemble.dim == 32
    query, tile = taught.sides
    torch.testing.assert_close(query.norm(dim=1), torch.ones(5))
    mean_cosine = sum((q * t).sum(dim=1) for q, t in apart) / 2
    torch.testing.assert_close((query * tile).sum(dim=1), mean_cosine)


def test_teachers_must_look_at_what_is_at_hand(trunk: FrozenTrunk, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    written_teacher(path, None)
    stages = TrunkStages(trunk, (2,))
    with pytest.raises(UsageError, match="does not say its temperature"):
        Ensemble([path], stages)
    written_teacher(path, 0.1)
    with pytest.raises(UsageError, match=r"looks at stages \[2, 3\], of which only \[3\] are at"):
        Ensemble([path], TrunkStages(trunk, ()))
    stages.standardise.std.fill_(3.0)
    with pytest.raises(UsageError, match="was trained on otherwise standardised features"):
        Ensemble([path], stages)
    write_tensors(path, {"x": torch.zeros(1)}, {})
    with pytest.raises(ResourceError, match="does not say which network it holds"):
        Ensemble([path], stages)
