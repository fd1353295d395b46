from __future__ import annotations

from typing import Any

import pytest
import torch

from trainables.components.heads import CosineHead, LinearHead
from trainables.components.network import Network
from trainables.core.config import MethodConfig, TrialConfig
from trainables.core.errors import BadInput
from trainables.data import load
from trainables.methods.plan import MethodContext
from trainables.methods.registry import (
    METHODS,
    build_params,
    build_plan,
    last_stage_start,
    reference_of,
    shared_prefix_of,
)
from trainables.training.trainer import Trainer

COUNTS = torch.tensor([90, 40, 9, 1])
pytestmark = pytest.mark.parametrize("name", ["m2m", "m2m-ldam"])


def _values(name: str, preset: str) -> Any:
    return build_params(MethodConfig(name=name, preset=preset))


def test_the_paper_asks_for_a_loss_the_code_for_a_probability(name: str) -> None:
    assert _values(name, "paper").confidence == "loss"
    assert _values(name, "official").confidence == _values(name, "recommended").confidence == "probability"
    values = _values(name, "recommended")
    assert (values.steps, values.step_size, values.beta, values.lam, values.gamma) == (10, 0.1, 0.999, 0.5, 0.9)


def test_ablations_change_what_they_say(name: str) -> None:
    recommended = _values(name, "recommended").model_dump()
    wanted: dict[str, dict[str, Any]] = {
        "no-lambda": {"lam": 0.0},
        "clean": {"clean": True},
        "rs": {"defer_until": 0.0},
        "rs-random-label": {"defer_until": 0.0, "random_label": True},
        "pool-10": {"pool_size": 10},
        "pool-500": {"pool_size": 500},
    }
    for preset, changed in wanted.items():
        assert _values(name, preset).model_dump() == {**recommended, **changed}


def test_the_reference_has_a_linear_head_and_the_method_its_own(name: str, make_trial: Any) -> None:
    reference = reference_of(make_trial(name))
    assert reference is not None and reference.method == MethodConfig(name="erm")
    assert type(build_plan(reference.method, MethodContext(COUNTS, 6)).head) is LinearHead
    own = build_plan(MethodConfig(name=name), MethodContext(COUNTS, 6)).head
    assert type(own) is (CosineHead if name == "m2m-ldam" else LinearHead)


@pytest.mark.parametrize("preset", ["rs", "rs-random-label"])
def test_from_the_start_it_has_one_stage_and_no_opening(name: str, preset: str, make_trial: Any) -> None:
    method = MethodConfig(name=name, preset=preset)
    plan = build_plan(method, MethodContext(COUNTS, 6))
    assert [(s.start, s.sampler) for s in plan.stages] == [(0.0, "class-balanced")]
    config = make_trial(name).model_copy(update={"method": method})
    assert last_stage_start(method) == 0
    assert shared_prefix_of(config) is None
    Trainer(config, load(config.data), torch.device("cpu")).run_epoch()


def test_a_random_label_needs_a_third_class(name: str) -> None:
    method = MethodConfig(name=name, preset="rs-random-label")
    with pytest.raises(BadInput, match="3 classes"):
        build_plan(method, MethodContext(torch.tensor([9, 1]), 6))
    build_plan(MethodConfig(name=name), MethodContext(torch.tensor([9, 1]), 6))


def test_the_reference_is_asked_for_when_the_last_stage_begins(name: str, make_trial: Any) -> None:
    config = make_trial(name, epochs=3)
    asked: list[int] = []
    erm = Trainer(make_trial("erm"), load(config.data), torch.device("cpu"))

    def reference(_: TrialConfig) -> Network:
        asked.append(trainer.epoch)
        return erm.network.requires_grad_(False).eval()

    trainer = Trainer(config, load(config.data), torch.device("cpu"), reference)
    while not trainer.finished:
        trainer.run_epoch()
    assert asked == [2]


def test_the_stage_changes_batches_of_a_class_balanced_sampler(name: str) -> None:
    plan = build_plan(MethodConfig(name=name), MethodContext(COUNTS, 6))
    plain, translated = plan.stages
    assert plain.transform is None and plain.sampler == "instance"
    assert translated.transform is not None and translated.sampler == "class-balanced"
    assert METHODS[name].defer_field == "defer_until" and translated.start == 0.8


def test_the_reference_has_a_seed_of_its_own_and_all_trials_of_a_seed_share_it(name: str, make_trial: Any) -> None:
    trial = make_trial(name)
    other = trial.model_copy(update={"method": MethodConfig(name=name, params={"lam": 0.1})})
    reference = reference_of(trial)
    assert reference is not None and reference.seed != trial.seed
    assert reference == reference_of(other)
    assert reference != reference_of(make_trial(name, seed=1))
    f, g = (Trainer(config, load(trial.data), torch.device("cpu")).network for config in (trial, reference))
    weights = [torch.cat([p.flatten() for p in n.backbone.parameters()]) for n in (f, g)]
    assert float((weights[0] - weights[1]).norm() / weights[0].norm()) > 0.5


def test_a_training_that_began_with_another_reference_goes_on_with_it(
    name: str, make_trial: Any, caplog: pytest.LogCaptureFixture
) -> None:
    config = make_trial(name, epochs=4)  # the last stage is the last epoch
    config = config.model_copy(update={"method": MethodConfig(name=name, params={"defer_until": 0.5})})
    data, device = load(config.data), torch.device("cpu")
    derived = reference_of(config)
    assert derived is not None
    trained = Trainer(config, data, device)
    for _ in range(2):
        trained.run_epoch()
    before = {**trained.state()}
    trained.run_epoch()
    within = {**trained.state()}
    assert within["reference_seed"] == derived.seed
    resumed = Trainer(config, data, device)
    resumed.load(within)
    assert resumed.reference == derived and not caplog.messages
    for state, seed in ((before, derived.seed), (within, config.seed)):
        stored_before = {key: value for key, value in state.items() if key != "reference_seed"}
        resumed = Trainer(config, data, device)
        resumed.load(stored_before)
        assert resumed.reference is not None and resumed.reference.seed == seed
    (message,) = caplog.messages
    assert f"of seed {config.seed}; today it would be {derived.seed}" in message


def test_every_epoch_of_the_last_stage_reports_the_declared_metrics(name: str, make_trial: Any) -> None:
    config = make_trial(name, epochs=3, batch_size=64)
    config = config.model_copy(update={"method": MethodConfig(name=name, params={"gamma": 0.11, "beta": 0.5})})
    trainer = Trainer(config, load(config.data), torch.device("cpu"))
    results = [trainer.run_epoch() for _ in range(3)]
    assert ["method_metrics" in result for result in results] == [False, False, True]
    own = results[-1]["method_metrics"]
    assert own.keys() == METHODS[name].epoch_metrics.keys()
    assert 0 < own["sites"] < 1 and 0 < own["accepted"] <= 1 and 0 <= own["known"] <= 1
