"""What every entry of METHODS must do, whatever it is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from search_spaces import SPACES
from study.spec.cell import Cell
from study.spec.study_spec import StudySpec
from tests.contract.settings import STOPS_GRADIENT, WITHOUT_SHARED_PREFIX
from trainables.components.network import Outputs
from trainables.core.config import MethodConfig, TrialConfig
from trainables.core.errors import BadInput
from trainables.data import load
from trainables.methods.axes import axes_of, derived_axes
from trainables.methods.plan import MethodContext, Plan
from trainables.methods.registry import METHODS, build_params, build_plan, last_stage_start, shared_prefix_of
from trainables.testing import check_method
from trainables.training.trainer import Trainer

pytestmark = pytest.mark.parametrize("name", METHODS)
COUNTS = torch.tensor([90, 40, 9, 1])
DIM = 6


def _trained(config: TrialConfig) -> tuple[Trainer, list[dict[str, Any]]]:
    trainer = Trainer(config, load(config.data), torch.device("cpu"))
    records = []
    while not trainer.finished:
        records.append(_timeless(trainer.run_epoch()))
    return trainer, records


def _timeless(record: dict[str, Any]) -> dict[str, Any]:
    return {name: repr(value) for name, value in record.items() if name != "images_per_second"}


def _weights(trainer: Trainer) -> list[Tensor]:
    return [*trainer.network.backbone.state_dict().values(), *trainer.network.head.state_dict().values()]


def _plan(name: str, counts: Tensor = COUNTS) -> Plan:
    torch.manual_seed(0)
    plan = build_plan(MethodConfig(name=name), MethodContext(counts, DIM))
    plan.head.double().eval()  # no noise: losses that draw some do so in training alone
    plan.head.calibrate(torch.randn(32, DIM, dtype=torch.float64), torch.arange(32) % 4)
    if plan.memory is not None:
        plan.memory.double()
    return plan


def _losses(plan: Plan, stage: int, features: Tensor, labels: Tensor) -> Tensor:
    return plan.stages[stage].loss(Outputs(features, plan.head(features)), labels)


def test_keeps_the_contract_that_authors_of_methods_check(name: str) -> None:
    check_method(METHODS[name], SPACES[name])


def test_trains_and_moves_every_parameter(name: str, make_trial: Any) -> None:
    config = make_trial(name)
    fresh = Trainer(config, load(config.data), torch.device("cpu"))
    before = {key: p.clone() for key, p in fresh.network.named_parameters()}
    trainer, records = _trained(config)
    trained = dict(trainer.network.trainable_parameters())
    for key, parameter in trainer.network.named_parameters():
        assert torch.equal(before[key], parameter) == (key not in trained)
    assert float(records[-1]["balanced_accuracy"]) > 0.12


def test_the_same_seed_gives_the_same_numbers(name: str, make_trial: Any) -> None:
    first, again = _trained(make_trial(name)), _trained(make_trial(name))
    assert first[1] == again[1]
    assert all(torch.equal(a, b) for a, b in zip(_weights(first[0]), _weights(again[0]), strict=True))


def test_another_seed_gives_other_numbers(name: str, make_trial: Any) -> None:
    assert _trained(make_trial(name))[1] != _trained(make_trial(name, seed=1))[1]


@pytest.mark.parametrize("killed_after", [1, 4, 5])
def test_resumed_anywhere_it_continues_bit_for_bit(name: str, killed_after: int, make_trial: Any) -> None:
    config = make_trial(name, epochs=6)
    whole, records = _trained(config)
    part = Trainer(config, load(config.data), torch.device("cpu"))
    for _ in range(killed_after):
        part.run_epoch()
    resumed = Trainer(config, load(config.data), torch.device("cpu"))
    resumed.load(part.state())
    continued = []
    while not resumed.finished:
        continued.append(_timeless(resumed.run_epoch()))
    assert continued == records[killed_after:]
    assert all(torch.equal(a, b) for a, b in zip(_weights(whole), _weights(resumed), strict=True))


def test_a_permuted_batch_gives_permuted_losses(name: str) -> None:
    plan, features = _plan(name), torch.randn(12, DIM, dtype=torch.float64)
    labels, order = torch.arange(12) % 4, torch.randperm(12)
    for stage in range(len(plan.stages)):
        losses = _losses(plan, stage, features, labels)
        torch.testing.assert_close(_losses(plan, stage, features[order], labels[order]), losses[order])


def test_renamed_classes_give_the_same_losses(name: str) -> None:
    order = torch.tensor([2, 0, 3, 1])  # new class k was class order[k]
    plan, renamed = _plan(name), _plan(name, COUNTS[order])
    features, labels = torch.randn(12, DIM, dtype=torch.float64), torch.arange(12) % 4
    logits = plan.head(features)
    new_name = torch.argsort(order)
    for stage, other in zip(plan.stages, renamed.stages, strict=True):
        losses = stage.loss(Outputs(features, logits), labels)
        torch.testing.assert_close(
            other.loss(Outputs(features, logits[:, order]), new_name[labels]), losses, rtol=1e-6, atol=1e-9
        )
        if stage.class_weights is not None and other.class_weights is not None:
            torch.testing.assert_close(other.class_weights, stage.class_weights[order])


def test_gradients_are_right_in_float64(name: str) -> None:
    if name in STOPS_GRADIENT:
        pytest.skip("a part of the loss is a constant to the gradient: see the tests of the loss")
    plan = _plan(name)
    labels = torch.tensor([0, 1, 2, 3, 3])
    features = torch.randn(5, DIM, dtype=torch.float64, requires_grad=True)
    for stage in range(len(plan.stages)):
        assert torch.autograd.gradcheck(lambda f, s=stage: _losses(plan, s, f, labels), (features,))


@pytest.mark.parametrize("size", [800.0, -800.0])
def test_gradients_are_finite_at_huge_logits(name: str, size: float) -> None:
    plan = _plan(name)
    for stage in plan.stages:
        for labels in (torch.tensor([0, 3]), torch.tensor([1, 2])):
            logits = torch.zeros(2, 4).index_fill(1, torch.tensor([0, 1]), size).requires_grad_()
            loss = stage.loss(Outputs(torch.zeros(2, DIM), logits), labels).sum()
            if "prototype" in type(plan.head).__name__.lower() and size > 0:
                continue  # a log affinity is never above 0
            loss.backward()
            assert torch.isfinite(loss)
            assert logits.grad is not None and torch.isfinite(logits.grad).all()


def test_a_class_of_one_image_gives_finite_losses_and_weights(name: str) -> None:
    plan = _plan(name)
    features = torch.randn(4, DIM, dtype=torch.float64, requires_grad=True)
    for stage in plan.stages:
        loss = stage.loss(Outputs(features, plan.head(features)), torch.arange(4))
        loss.sum().backward()
        assert torch.isfinite(loss).all()
        assert features.grad is not None and torch.isfinite(features.grad).all()
        if stage.class_weights is not None:
            assert torch.isfinite(stage.class_weights).all()
            assert float(stage.class_weights.sum()) == pytest.approx(4)


def test_stages_begin_at_zero_and_rise(name: str) -> None:
    starts = [stage.start for stage in _plan(name).stages]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    assert starts[-1] == last_stage_start(MethodConfig(name=name))


def test_the_table_says_which_axes_it_uses(name: str) -> None:
    assert axes_of(METHODS[name]) == derived_axes(METHODS[name]), "run `make readme`"


def test_its_first_stages_are_the_training_it_opens_with(name: str, make_trial: Any) -> None:
    method = METHODS[name]
    if method.shared_prefix is None:
        repeats = method.defer_field is None or name in WITHOUT_SHARED_PREFIX
        assert repeats, "a method with stages says what its first ones repeat, or why nothing"
        return
    config = make_trial(name, epochs=5)
    found = shared_prefix_of(config)
    if found is None:
        assert last_stage_start(config.method) == 0
        return
    shared_prefix, switch = found
    alone, opened, shared = (Trainer(c, load(c.data), torch.device("cpu")) for c in (config, shared_prefix, config))
    for _ in range(switch):
        one, other = alone.run_epoch(), opened.run_epoch()
        assert (one["train_loss"], one["loss"]) == (other["train_loss"], other["loss"])
    shared.adopt(opened.state())
    while not alone.finished:
        assert _timeless(alone.run_epoch()) == _timeless(shared.run_epoch())
    assert all(torch.equal(a, b) for a, b in zip(_weights(alone), _weights(shared), strict=True))


def test_has_a_space_whose_names_are_its_hyperparameters(name: str) -> None:
    assert set(SPACES) == set(METHODS)
    assert set(SPACES[name]) <= set(METHODS[name].params.model_fields)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_every_point_of_its_space_builds(name: str, share: float) -> None:
    sampled = {}
    for field, dimension in SPACES[name].items():
        distribution = dimension.distribution()
        low, high = getattr(distribution, "low", None), getattr(distribution, "high", None)
        inner = dimension.choices[0] if low is None else low + share * (high - low)
        sampled[field] = dimension.decode(int(inner) if isinstance(low, int) else inner)
    build_params(MethodConfig(name=name, params=sampled))


def test_every_preset_builds_a_plan(name: str) -> None:
    for preset in METHODS[name].preset_names():
        build_plan(MethodConfig(name=name, preset=preset), MethodContext(COUNTS, DIM))
    assert {"recommended", "paper"} <= set(METHODS[name].preset_names())


def test_refuses_unknown_values_and_presets(name: str) -> None:
    with pytest.raises(BadInput, match="unknown key 'nonsense'"):
        build_params(MethodConfig(name=name, params={"nonsense": 1}))
    with pytest.raises(BadInput, match="unknown preset"):
        build_params(MethodConfig(name=name, preset="nonsense"))


def test_the_first_trial_is_the_preset_itself(name: str) -> None:
    study = StudySpec.model_validate(
        {
            "name": "s",
            "data": [{"dataset": "digits", "profiles": [{"ratio": 10}]}],
            "methods": [name],
            "model": "mlp",
        }
    )
    from study.spec.cell import expand

    cell: Cell = expand(study)[0]
    encoded = {field: d.encode(cell.preset_params()[field]) for field, d in cell.space.items()}
    decoded = {field: d.decode(encoded[field]) for field, d in cell.space.items()}
    assert decoded == pytest.approx(cell.preset_params())
