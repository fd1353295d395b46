"""Reports of a training to whoever runs it: the one place that declares and serialises them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from trainables.core.trial_folder import METHOD_METRICS, EpochResult, method_metrics

_KEY = "report"
"""The one key of a Ray Tune result that is ours. Its value is text, since Tune flattens nested results."""


class SharedEpochs(NamedTuple):
    """Epochs of a trial in shared trainings.

    Attributes:
        adopted: epochs of its own training that it took over.
        needed: epochs of all shared trainings that it needed.
        trained: epochs of these that it trained itself.
    """

    adopted: int = 0
    needed: int = 0
    trained: int = 0

    @classmethod
    def from_json(cls, stored: dict[str, Any] | None) -> SharedEpochs:
        """Read the stored form; None and missing entries are 0."""
        return cls(**{name: int((stored or {}).get(name, 0)) for name in cls._fields})

    def to_json(self) -> dict[str, int]:
        """Return the stored form, empty if the trial shares nothing."""
        return self._asdict() if self.needed else {}


NOTHING_SHARED = SharedEpochs()

TRAINED_IN = ("precision", "device")
"""What reports and the ledger keep of a trial's ``environment``."""


@dataclass(frozen=True)
class EpochDone:
    """The trial finished an epoch.

    Attributes:
        result: metrics of the epoch, as the trial folder stores them.
        shared: epochs in shared trainings so far.
        finished: True if nothing is left to train or to evaluate.
        method_metrics: the method's own metrics of the epoch, finite, by the names in `Method.epoch_metrics`; the
            trial folder stores them in the result.
        trained_in: ``precision`` and ``device`` of the training; empty if nothing was trained.
    """

    result: EpochResult
    shared: SharedEpochs = NOTHING_SHARED
    finished: bool = False
    method_metrics: Mapping[str, float] = field(default_factory=dict)
    trained_in: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_stored(
        cls,
        result: EpochResult,
        shared: SharedEpochs = NOTHING_SHARED,
        finished: bool = False,
        trained_in: Mapping[str, str] | None = None,
    ) -> EpochDone:
        """Build the report of an epoch from its result as the trial folder stores it.

        Raises:
            ValueError: the result's method metrics are not finite numbers.
        """
        own = method_metrics(result)
        metrics = {name: value for name, value in result.items() if name != METHOD_METRICS}
        return cls(metrics, shared, finished, own, dict(trained_in or {}))


@dataclass(frozen=True)
class SharedEpochDone:
    """The trial trained ``epochs`` epochs of a shared training; 0 while it waits for another process."""

    epochs: int


@dataclass(frozen=True)
class Failed:
    """The trial cannot be finished, for a ``reason`` of its own: it diverged or ran out of memory."""

    reason: str


@dataclass(frozen=True)
class MachineFault:
    """The trial stopped because its machine cannot go on, for example with a full disk."""

    reason: str


TrialReport: TypeAlias = EpochDone | SharedEpochDone | Failed | MachineFault


def to_result(report: TrialReport) -> dict[str, Any]:
    """Serialise a report as a Ray Tune result: JSON text, and ``done`` for Tune itself.

    >>> to_result(Failed("loss is nan"))
    {'report': '{"failed": {"reason": "loss is nan"}}', 'done': True}
    """
    match report:
        case EpochDone(result, shared, finished, own, trained_in):
            fields = {"result": result, "shared": shared.to_json(), "finished": finished}
            if trained_in:
                fields["trained_in"] = dict(trained_in)
            if own:
                fields["result"] = {**result, METHOD_METRICS: dict(own)}
            kind, done = "epoch", finished
        case SharedEpochDone(epochs):
            kind, fields, done = "shared_epoch", {"epochs": epochs}, False
        case Failed(reason):
            kind, fields, done = "failed", {"reason": reason}, True
        case MachineFault(reason):
            kind, fields, done = "machine_fault", {"reason": reason}, True
    return {_KEY: json.dumps({kind: fields}), "done": done}


def from_result(result: dict[str, Any]) -> TrialReport | None:
    """Read the report in a Ray Tune result; None for a result of Tune's own.

    Raises:
        ValueError: the report is malformed; names what it lacks.

    >>> from_result(to_result(SharedEpochDone(1)))
    SharedEpochDone(epochs=1)
    """
    if _KEY not in result:
        return None
    try:
        ((kind, fields),) = json.loads(result[_KEY]).items()
        match kind:
            case "epoch":
                found = dict(fields["result"])
                if not isinstance(found.get("epoch"), int):
                    raise ValueError("its epoch result lacks `epoch`")
                shared, finished = SharedEpochs.from_json(fields["shared"]), bool(fields["finished"])
                return EpochDone.of_stored(found, shared, finished, dict(fields.get("trained_in", {})))
            case "shared_epoch":
                return SharedEpochDone(int(fields["epochs"]))
            case "failed":
                return Failed(str(fields["reason"]))
            case "machine_fault":
                return MachineFault(str(fields["reason"]))
        raise ValueError(f"unknown kind '{kind}'")
    except KeyError as error:
        raise ValueError(f"malformed trial report: it lacks {error}: {result[_KEY]!r}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"malformed trial report: {error}: {result[_KEY]!r}") from None
