from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from study.report.logits.adjustment import adjusted, parsed_tau
from trainables.core.config import TrialConfig
from trainables.core.errors import BadInput
from trainables.core.logit_file import KeptLogits, SplitLogits
from trainables.core.metrics import from_confusion
from trainables.data import load
from trainables.training.logits import logits
from trainables.training.trainer import Trainer

MakeTrial = Callable[..., TrialConfig]


@pytest.mark.parametrize("tau", [None, 1.0])
def test_adjusted_logits_of_erm_are_those_of_the_method_that_adjusts_its_trained_head(
    make_trial: MakeTrial, tau: float | None
) -> None:
    params: dict[str, float] = {} if tau is None else {"tau": tau}
    trainers = []
    for name, given in (("erm", {}), ("posthoc-logit-adjustment", params)):
        config = make_trial(name, epochs=3, data={"profile": {"kind": "long_tail", "ratio": 50}})
        config = config.model_copy(update={"method": config.method.model_copy(update={"params": given})})
        trainer = Trainer(config, load(config.data))
        while not trainer.finished:
            trainer.run_epoch()
        trainers.append(trainer)
    erm, method = trainers
    found = adjusted(logits(erm, of_test=True), tau)
    evaluated = method.evaluate(method.data.test())
    assert found.tau == method.posthoc_value
    assert found.tau > 0
    expected = from_confusion(evaluated.confusion.numpy(), method.data.class_counts.numpy())
    assert found.scores == pytest.approx(expected, nan_ok=True)
    plain = erm.metrics(erm.evaluate(erm.data.test()))
    assert found.scores["balanced_accuracy"] != plain["balanced_accuracy"]


def test_a_shifted_prior_is_undone_by_hand() -> None:
    logits = np.log(np.array([[0.8, 0.2], [0.95, 0.05]]))
    split = SplitLogits.of(logits, np.array([1, 0]))
    kept = KeptLogits(None, ("a", "b"), (900, 100), {"validation": split, "test": split})
    # less log .9 and log .1: odds 8 : 18 and 95 : 45
    assert adjusted(kept, 1.0).scores["accuracy"] == 1
    assert adjusted(kept, 0.0).scores["accuracy"] == 0.5
    # from log odds of log 4 and log 19, tau x log 9 is subtracted: both are right for .631 < tau < 1.34
    assert adjusted(kept, None).tau == 0.7


@pytest.mark.parametrize("given", ["-1", "inf", "nan", "much"])
def test_a_tau_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(BadInput, match=rf"--tau {given}: must be auto or a number of at least 0"):
        parsed_tau(given)
