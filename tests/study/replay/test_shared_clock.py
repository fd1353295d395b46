from __future__ import annotations

from typing import Any

from study.replay.shared_clock import SharedClock
from trainables.core.config import TrialConfig
from trainables.core.trial_report import SharedEpochs


def _trial(method: str, **hyperparameters: Any) -> TrialConfig:
    return TrialConfig.model_validate(
        {
            "data": {"dataset": "digits"},
            "method": {"name": method, "params": hyperparameters},
            "training": {"epochs": 10},
        }
    )


def test_what_needs_nothing_begins_at_once() -> None:
    taken = SharedClock().take(_trial("cce"), 3.0, share_prefix=True)
    assert taken == (3.0, SharedEpochs(0, 0, 0))


def test_the_first_trains_the_opening_and_others_wait_for_it() -> None:
    clock = SharedClock()
    first = clock.take(_trial("ldam-drw"), 0.0, share_prefix=True)
    assert first == (8.0, SharedEpochs(8, 8, 8))
    assert clock.take(_trial("ldam-drw", beta=0.99), 2.0, share_prefix=True)[0] == 8.0
    assert clock.take(_trial("ldam-drw", beta=0.95), 9.0, share_prefix=True) == (
        9.0,
        SharedEpochs(8, 8, 0),
    )


def test_a_later_switch_goes_on_from_an_earlier_one() -> None:
    clock = SharedClock()
    clock.take(_trial("ldam-drw", defer_until=0.5), 0.0, share_prefix=True)
    begin, shared = clock.take(_trial("ldam-drw", defer_until=0.8), 20.0, share_prefix=True)
    assert (begin, shared.trained, shared.adopted) == (23.0, 3, 8)


def test_an_opening_of_ones_own_is_trained_by_the_trial_itself() -> None:
    assert SharedClock().take(_trial("ldam-drw"), 0.0, share_prefix=False)[1].needed == 0
