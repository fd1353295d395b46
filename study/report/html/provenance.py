"""Facts needed to reproduce a study: study file, code versions, data fingerprints, seeds, precision, hardware."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from study.report.precisions import precision_line
from study.spec.confirmed_settings import seeds_of
from study.spec.yaml_io import write_yaml
from study.store.study_view import StudyView
from trainables.core.errors import BadInput


@dataclass(frozen=True)
class Provenance:
    """Facts needed to reproduce a study.

    Attributes:
        facts: (what, how it was in the trials) in the order of the page.
        fingerprints: data set and profile -> fingerprint of images and labels.
        study_file: the checked study file with all defaults, as YAML.
        mixed: True if the trials ran with more than one version of the code.
    """

    facts: list[tuple[str, str]]
    fingerprints: dict[str, str]
    study_file: str
    mixed: bool


def provenance_of(view: StudyView) -> Provenance:
    """Read the environment of every trial; trials whose process has not begun have none."""
    spec = view.spec
    trials = [trial for cell in view.cells for trial in cell.all_trials]
    found = [env for trial in trials if (env := trial.environment())]
    codes = _counted(env.get("code") for env in found)
    packages = [dict(env["packages"]) for env in found if isinstance(env.get("packages"), dict)]
    precisions = Counter((str(e["precision"]), str(e.get("device", "?"))) for e in found if e.get("precision"))
    seeds = f"search {spec.seed}" + (
        ", one more for each trial of a cell with nothing to search" if _seeded(view) else ""
    )
    if spec.confirm is not None:
        own = seeds_of(spec)
        if spec.confirm.race is not None:
            trained = {trial.confirms for cell in view.cells for trial in cell.confirming}
            own = [seed for seed in own if seed in trained] or own[:1]
        seeds += f"; confirmation {own[0]} to {own[-1]}" if len(own) > 1 else f"; confirmation {own[0]}"
    subsets = _counted(data.subset_seed for data in spec.data)
    others = "; ".join(sorted({f"{t.cell.dataset}: {t.test_images}" for t in trials if t.test_images}))
    began = min((trial.started for trial in trials if trial.started is not None), default=None)
    ended = max((trial.ended for trial in trials if trial.ended is not None), default=None)
    facts = [
        ("code, fingerprint of the training code", codes),
        ("code, git commit (+: with changes)", _counted(env.get("git_commit") for env in found)),
        ("Python", _counted(env.get("python") for env in found)),
        *((name, _counted(own.get(name) for own in packages)) for name in ("torch", "ray", "optuna", "numpy")),
        ("precision", precision_line(precisions).removeprefix("precision: ") or "unknown"),
        ("device", _counted(env.get("device") for env in found)),
        ("machine", _counted(_machine(env) for env in found)),
        ("machines", str(len({env.get("host") for env in found})) if found else "unknown"),
        ("seeds", seeds),
        ("seed of the data subset", subsets),
        *((("test images", others),) if others else ()),
        ("first trial began", began.strftime("%Y-%m-%d %H:%M") if began else "none began"),
        ("last trial ended", ended.strftime("%Y-%m-%d %H:%M") if ended else "none ended"),
    ]
    mixed = len({env.get("code") for env in found}) > 1
    return Provenance(facts, _fingerprints(view), write_yaml(spec.model_dump(mode="json")), mixed)


def _fingerprints(view: StudyView) -> dict[str, str]:
    try:
        stored = view.folder.read_data()
    except BadInput:
        return {}
    return {name: str(value) for name, value in stored.items()}


def _seeded(view: StudyView) -> bool:
    return any(not cell.cell.space for cell in view.cells)


def _machine(env: dict[str, Any]) -> str | None:
    parts = [env.get("processor"), f"{env['cpus']} cores" if env.get("cpus") else None, env.get("platform")]
    return ", ".join(str(part) for part in parts if part) or None


def _counted(values: Iterable[Any]) -> str:
    """Write distinct values, with the number of trials of each if they differ."""
    counts = Counter(str(value) for value in values if value is not None)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{value} ({count} trials)" for value, count in counts.most_common()) or "unknown"
