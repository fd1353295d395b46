from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from tests.trainables.components.transforms.conftest import Run
from trainables.components.batch import Batch
from trainables.components.heads import LinearHead
from trainables.components.losses.cross_entropy import plain_loss
from trainables.components.network import Outputs
from trainables.components.transforms.pair_mixing import Mixup, Remix, beta_draws, remix_shares
from trainables.core.config import MethodConfig, TrialConfig
from trainables.data import load
from trainables.methods.plan import MethodContext, Stage
from trainables.methods.registry import build_plan
from trainables.training.batch_objective import batch_objective
from trainables.training.trainer import Trainer


def test_every_image_is_mixed_with_one_of_its_batch_and_so_is_its_label(run: Run) -> None:
    for mixed, plain in zip(*run(Mixup(1.0))[:2], strict=True):
        assert mixed.share is not None and mixed.other_labels is not None
        assert torch.equal(mixed.labels, plain.labels)
        share = float(mixed.share[0])
        assert torch.equal(mixed.share, torch.full((len(plain.labels),), share))  # one lambda a batch
        pixels, used = plain.pixels.double().numpy(), []
        for i, made in enumerate(mixed.pixels.double().numpy()):
            gaps = [np.abs(share * pixels[i] + (1 - share) * other - made).max() for other in pixels]
            used.append(int(np.argmin(gaps)))
            assert gaps[used[-1]] < 1e-4
            assert mixed.other_labels[i] == plain.labels[used[-1]]
        assert sorted(used) == list(range(len(pixels)))


def test_the_objective_is_that_of_the_paper() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    y, other, share = torch.tensor([0, 1, 2, 2, 0]), torch.tensor([1, 1, 0, 2, 2]), torch.tensor(0.3).double()
    batch = Batch(torch.zeros(5, 1, 1, 1), y, other, share.expand(5))
    found = batch_objective(Stage("s", 0.0, plain_loss), LinearHead(2, 3), batch, Outputs(logits, logits), method="erm")
    expected = 0.0
    for z, a, b in zip(logits.numpy(), y, other, strict=True):
        p = np.exp(z) / np.exp(z).sum()
        expected += (-0.3 * np.log(p[a]) - 0.7 * np.log(p[b])) / 5
    assert float(found) == pytest.approx(expected, abs=1e-7)  # 0.3 is a float32


def test_a_share_of_one_is_erm(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "trainables.components.transforms.pair_mixing.beta_draws", lambda alpha, n, generator: torch.ones(n)
    )
    stage, head = Stage("s", 0.0, plain_loss), LinearHead(90, 5).double()
    for transform in (Mixup(1.0), Remix(1.0, 3.0, 0.0)):
        for mixed, plain in zip(*run(transform)[:2], strict=True):
            assert torch.equal(mixed.pixels, plain.pixels.float())
            features = plain.pixels.flatten(1).double() / 255
            outputs = Outputs(features, head(features))
            mine, theirs = (batch_objective(stage, head, batch, outputs, method="erm") for batch in (mixed, plain))
            torch.testing.assert_close(mine, theirs, rtol=1e-14, atol=0)


def test_a_training_with_a_share_of_one_is_erms(
    make_trial: Callable[..., TrialConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "trainables.components.transforms.pair_mixing.beta_draws", lambda alpha, n, generator: torch.ones(n)
    )
    losses = []
    for name in ("mixup", "erm"):
        config = make_trial(name)
        losses.append(Trainer(config, load(config.data), torch.device("cpu")).run_epoch()["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize(
    ("share", "own", "other", "expected"),
    [
        # i is the larger class: its label goes where its share is below tau
        (0.49, 30, 10, 0.0),
        (0.50, 30, 10, 0.5),
        (0.90, 30, 10, 0.9),
        (0.10, 29, 10, 0.1),
        (0.00, 300, 1, 0.0),
        # i is the smaller class: it takes the label where the other's share is below tau
        (0.51, 10, 30, 1.0),
        (0.50, 10, 30, 0.5),
        (0.10, 10, 30, 0.1),
        (0.90, 10, 29, 0.9),
        # of a size
        (0.20, 7, 7, 0.2),
        (0.80, 7, 7, 0.8),
    ],
)
def test_the_label_rule_of_remix(share: float, own: int, other: int, expected: float) -> None:
    given: Any = (torch.tensor([share], dtype=torch.float64), torch.tensor([own]), torch.tensor([other]))
    assert remix_shares(*given, kappa=3.0, tau=0.5).item() == expected


def test_remix_gives_both_of_a_pair_the_same_label() -> None:
    shares = torch.rand(500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    own, other = torch.randint(1, 50, (2, 500), generator=torch.Generator().manual_seed(1))
    one = remix_shares(shares, own, other, kappa=2.0, tau=0.75)
    turned = remix_shares(1 - shares, other, own, kappa=2.0, tau=0.75)
    torch.testing.assert_close(one, 1 - turned, rtol=0, atol=1e-12)


def test_remix_changes_labels_and_not_images(run: Run) -> None:
    changed = 0
    for remixed, mixed in zip(run(Remix(1.0, 3.0, 0.5))[0], run(Mixup(1.0))[0], strict=True):
        assert remixed.share is not None and mixed.share is not None
        assert torch.equal(remixed.pixels, mixed.pixels)
        changed += int((remixed.share != mixed.share).sum())
        assert set(remixed.share[remixed.share != mixed.share].tolist()) <= {0.0, 1.0}
    assert changed > 0


def test_tau_of_0_is_mixup(run: Run) -> None:
    for remixed, mixed in zip(run(Remix(1.0, 1.5, 0.0))[0], run(Mixup(1.0))[0], strict=True):
        assert remixed.share is not None and mixed.share is not None
        assert torch.equal(remixed.share, mixed.share)


def test_an_epoch_depends_on_its_generator_alone(run: Run) -> None:
    transform = Mixup(1.0)
    first, other, again = (run(transform, seed=seed)[0] for seed in (0, 1, 0))
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0].pixels, other[0].pixels)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 2.0])
def test_shares_are_drawn_from_beta(alpha: float) -> None:
    drawn = beta_draws(alpha, 4000, torch.Generator().manual_seed(3))
    assert stats.kstest(drawn.numpy(), stats.beta(alpha, alpha).cdf).pvalue > 0.01


def test_a_small_alpha_gives_shares_in_range() -> None:
    drawn = beta_draws(1e-6, 1000, torch.Generator().manual_seed(0))
    assert ((drawn >= 0) & (drawn <= 1)).all()


@pytest.mark.parametrize(("preset", "mixes"), [("recommended", [True, False]), ("throughout", [True, True])])
def test_what_mixup_drw_mixes(preset: str, mixes: list[bool]) -> None:
    plan = build_plan(MethodConfig(name="mixup-drw", preset=preset), MethodContext(torch.tensor([50, 5]), 4))
    assert [stage.transform is not None for stage in plan.stages] == mixes
    assert [stage.class_weights is not None for stage in plan.stages] == [False, True]
