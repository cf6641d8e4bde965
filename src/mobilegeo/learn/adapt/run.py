"""Adapting from start to finish, within the minutes that were given."""

from __future__ import annotations

import copy
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from mobilegeo.encoder import load_encoder
from mobilegeo.errors import UsageError
from mobilegeo.learn.adapt.budget import Budget, Progress
from mobilegeo.learn.adapt.ground import Ground
from mobilegeo.learn.adapt.origin import Origin, open_origin
from mobilegeo.learn.adapt.output import write_encoder, write_record
from mobilegeo.learn.adapt.records import Adapted, Request
from mobilegeo.learn.adapt.training import between, fine_tune
from mobilegeo.learn.adapt.views import Simulator, open_trunk
from mobilegeo.learn.export.imagery import images_of
from mobilegeo.learn.export.onnx import write_onnx
from mobilegeo.learn.export.parity import compare, require_parity, torch_encode
from mobilegeo.learn.export.placed import write_placed, write_trunk
from mobilegeo.learn.export.recall import RecallChange
from mobilegeo.learn.layout.recall import found
from mobilegeo.output.atomic import make_folder

JUDGED_UNTIL, SIMULATED_UNTIL = 0.15, 0.5
"""Shares of the time between getting ready and the last export, after which no more held-out views
and no more training views are made."""
HELD_OUT_PAIRS, LEAST_HELD_OUT = 512, 64
MOST_PAIRS, LEAST_PAIRS = 60_000, 128
"""At most as many as were simulated for the first encoder, 1.1 GB on disk meanwhile."""
SURE = 2.0
"""Standard errors by which the best of the candidates has to gain to be taken."""
COMPARED_IMAGES = 4
SHARES = (0.25, 0.5, 0.75, 1.0)
"""How far from the original to the trained weights; the best on held-out ground is taken."""
SAFETY = 1.5
"""Export and judgement at the end may take this much longer than those at the beginning."""


def adapt(request: Request, budget: Budget, progress: Progress) -> Adapted:
    """Fine-tunes an encoder's place head on views of a map, and writes the better of both.

    The trunk stays as it is, and with it the dense features. Nothing is written before the end.

    Raises:
        UsageError: the arguments cannot be meant, or the minutes are too few.
        MapError: the map cannot be read, or is too small, too coarse or without texture.
        ResourceError: there are no weights to start from.
    """
    if request.out.suffix.lower() != ".onnx":
        raise UsageError(request.out, "does not end in .onnx", "name the file so")
    origin = open_origin(request.encoder)
    ground = Ground(request.maps, request.dsm, origin.spec.size_px, request.seed)
    make_folder(request.out.parent)
    with tempfile.TemporaryDirectory(dir=request.out.parent, suffix=".partial") as folder:
        done = _adapted(request, budget, progress, origin, ground, Path(folder))
    write_record(request.out, done.to_record())
    return done


def _adapted(
    request: Request,
    budget: Budget,
    progress: Progress,
    origin: Origin,
    ground: Ground,
    folder: Path,
) -> Adapted:
    """All stages, in order."""
    train_on, judge_on = ground.split(request.seed)
    original = origin.exported or write_onnx(origin.model, origin.spec, folder / "original.onnx")
    started_s = budget.spent_s()
    write_placed(original, origin.model, origin.spec, folder / "trial.onnx")
    ready_s = budget.spent_s()
    export_s = ready_s - started_s
    free_s = budget.seconds - SAFETY * export_s - ready_s

    trunk = open_trunk(write_trunk(original, origin.model, folder / "trunk.onnx"))
    size_px = origin.spec.size_px
    judging = Simulator(ground, trunk, size_px, 2 * request.seed + 1)
    stage = budget.stage("views of held-out ground", ready_s + JUDGED_UNTIL * free_s, progress)
    held_out = judging.views(
        judge_on, folder / "held-out", stage, least=LEAST_HELD_OUT, most=HELD_OUT_PAIRS
    )
    started_s = budget.spent_s()
    before = found(origin.model.head, held_out)
    judging_s = budget.spent_s() - started_s

    training = Simulator(ground, trunk, size_px, 2 * request.seed)
    stage = budget.stage("views to train on", ready_s + SIMULATED_UNTIL * free_s, progress)
    views = training.views(train_on, folder / "training", stage, least=LEAST_PAIRS, most=MOST_PAIRS)
    model = copy.deepcopy(origin.model)
    judged_s = SAFETY * len(SHARES) * judging_s
    stage = budget.stage("training", ready_s + free_s - judged_s, progress)
    fit = fine_tune(model.head, views, request.seed, stage)
    heads = [between(origin.model.head, model.head, share) for share in SHARES]
    after = [found(head, held_out) for head in heads]
    best = int(np.argmax([hits.mean() for hits in after]))
    model.head, recall = heads[best], RecallChange.of(before, after[best])

    file, spec = original, origin.spec
    if -recall.drop > SURE * recall.standard_error:
        spec = replace(spec, model_id=f"{spec.model_id}-adapted")
        file = write_placed(original, model, spec, folder / "adapted.onnx")
        images = images_of(judging.pairs(judge_on[0]), COMPARED_IMAGES)
        parity = compare(torch_encode(model, spec), load_encoder(file).encode, images)
        require_parity(parity, request.out)
    return Adapted(
        path=request.out,
        sha256=write_encoder(request.out, file, origin.calibration, spec.model_id),
        origin=origin.spec.model_id,
        model_id=spec.model_id,
        recall=recall,
        views=len(views.places),
        fit=fit,
        share=SHARES[best],
        map=ground.facts(held_out=len(judge_on)),
        seconds=budget.spent_s(),
    )
