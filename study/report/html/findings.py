"""The study's answer in words, computed from the paired tests, with what limits it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from study.report.html.absence import absences_of, listed
from study.report.html.class_results import ClassGain
from study.report.html.results import LEVEL, Lead, Place, Results
from trainables.core.errors import counted
from trainables.core.metric_names import METRICS

FEWEST_SEEDS = 5
"""Fewer seeds than this are named as a limit of the answer."""


@dataclass(frozen=True)
class Verdict:
    """The winner of one data set and profile, and its lead.

    Attributes:
        place: how sentences name it.
        winner: the method with the best mean.
        value: its mean and deviation as text.
        against: the method that it is compared with: the baseline; else, or if it is the baseline, the second best.
        lead: its lead over that method as text; empty without another method.
        p: the p value after Holm as text; empty without a test.
        significant: True if the lead is significant.
        sentence: all of it as one sentence.
        better: every method that is significantly better than the baseline, as text; empty without a test against it.
    """

    place: str
    winner: str
    value: str
    against: str
    lead: str
    p: str
    significant: bool
    sentence: str
    better: str = ""


def p_text(p: float | None, level: float = LEVEL) -> str:
    """Write a p value.

    >>> p_text(0.04998)
    'p = .04998'
    >>> p_text(0.0021), p_text(0.00001), p_text(0.25), p_text(1.0), p_text(None)
    ('p = .002', 'p < .001', 'p = .25', 'p = 1', '')
    """
    if p is None:
        return ""
    if p < 0.001:
        return "p < .001"
    written = f"{p:.{3 if p < 0.1 else 2}f}"
    if p < level <= float(written):  # rounded up to the level
        written = f"{p:.5f}"
    return f"p = {'1' if float(written) == 1 else written.removeprefix('0')}"


def verdicts_of(results: Results) -> list[Verdict]:
    """Return a verdict for every place with a result, in the order of the study file."""
    return [_verdict(results, place) for place in results.places if place.ranked()]


def overall_of(results: Results) -> str:
    """Count, over all places, where each method beats the baseline; empty without tests or at fewer than two places."""
    tested = [place for place in results.places if any(test.p is not None for test in place.tests)]
    if len(tested) < 2 or results.baseline is None:
        return ""
    base = results.baseline
    better = {m: [p for p in tested if any(t.better for t in p.tests if t.method == m)] for m in results.methods}
    worse = {m: [p for p in tested if any(t.worse for t in p.tests if t.method == m)] for m in results.methods}
    winners = sorted((m for m in better if better[m]), key=lambda m: -len(better[m]))
    losers = sorted((m for m in worse if worse[m]), key=lambda m: -len(worse[m]))
    kind = "data sets and ratios" if len(results.groups) > 1 else "ratios"
    if winners:
        first = f"{winners[0]} beats tuned {base} significantly at {len(better[winners[0]])} of {len(tested)} {kind}"
        named = [first + _which(results, better[winners[0]]), *(_count(results, m, better[m]) for m in winners[1:6])]
        more = f" ({len(winners) - 6} more methods beat it somewhere)" if len(winners) > 6 else ""
        said = f"{listed(named, 6)}{more}"
    else:
        said = f"At none of {len(tested)} {kind} does a method beat tuned {base} significantly"
    if losers:
        said += f"; significantly worse than {base}: {listed([_count(results, m, worse[m]) for m in losers], 6)}"
    return said + "."


def _count(results: Results, method: str, places: list[Place]) -> str:
    return f"{method} at {len(places)}{_which(results, places)}"


def _which(results: Results, places: list[Place]) -> str:
    """Name ratios in brackets; places of several data sets or profiles would be too long."""
    return "" if len(results.groups) > 1 else f" ({', '.join(f'{place.ratio:g}' for place in places)})"


def _verdict(results: Results, place: Place) -> Verdict:
    unit, ranked, said = results.unit, place.ranked(), results.said(place)
    best = ranked[0]
    value = unit.value(best.mean) + (f" ± {unit.value(best.deviation)}" if math.isfinite(best.deviation) else "")
    if len(ranked) == 1:
        sentence = f"At {said}, {best.method} is the only method with a result: {value}."
        return Verdict(said, best.method, value, "", "", "", False, sentence)
    base = results.baseline if results.baseline in place.scores else None
    other = next(s for s in ranked if s.method == base) if base not in (None, best.method) else ranked[1]
    sign = 1 if results.maximize else -1
    tests = {test.method: test for test in place.tests}
    test = tests.get(best.method) if base == other.method else place.against_best.get(other.method)
    if test is None or test.n == 0:
        lead = unit.change(sign * (best.mean - other.mean)) + unit.points
        kind = "" if base is None or other.method != base else "tuned "
        sentence = f"At {said}, {best.method} is best, {lead} against {kind}{other.method}; not tested."
        return Verdict(said, best.method, value, other.method, lead, "", False, sentence)
    gain = abs(test.gain) if base != other.method else test.gain
    lead = f"{unit.change(gain)}{_deviation(results, test)}{unit.points}"
    p, significant = p_text(test.p, test.level), test.significant
    sentence = _against_baseline(results, place, base) if base is not None else _of_the_best(results, place)
    winners = [test.method for test in place.tests if test.better]
    better = "" if base is None else listed(winners, 4) if winners else "none"
    return Verdict(said, best.method, value, other.method, lead, p, significant, sentence, better)


def _deviation(results: Results, test: Lead) -> str:
    return f" ± {results.unit.value(test.deviation)}" if math.isfinite(test.deviation) else ""


def _by(results: Results, test: Lead, after: str = "") -> str:
    amount = results.unit.value(abs(test.gain))
    return f"by {amount}{_deviation(results, test)}{results.unit.points} ({p_text(test.p, test.level)}{after})"


def _against_baseline(results: Results, place: Place, base: str) -> str:
    """Say which methods are significantly better than the baseline, and which are worse."""
    better = sorted((test for test in place.tests if test.better), key=lambda test: -test.gain)
    worse = sorted((test for test in place.tests if test.worse), key=lambda test: test.gain)
    said, family = results.said(place), len([test for test in place.tests if test.p is not None])
    if not family:
        return (
            f"At {said}, no test against {base} is possible: a paired test needs two common seeds. "
            f"{place.ranked()[0].method} has the best mean."
        )
    after = f" after Holm over {family} methods" if family > 1 else ""
    if better:
        by = listed([_by(results, test, after if test is better[0] else "") for test in better], len(better))
        who, verb = listed([test.method for test in better], len(better)), "beats" if len(better) == 1 else "beat"
        rest = "" if len(better) == len(place.tests) else "; no other method does"
        sentence = f"At {said}, {who} {verb} tuned {base} in {results.unit.name} {by}{rest}."
    else:
        best = max(place.tests, key=lambda test: test.gain)
        if best.gain > 0:
            ahead = f"the best, {best.method}, is ahead {_by(results, best, after)}"
        else:
            ahead = f"{base} itself has the best mean"
        sentence = f"At {said}, no method beats tuned {base} significantly in {results.unit.name}: {ahead}."
    if worse:
        named = listed([f"{test.method} {_by(results, test)}" for test in worse], most=3)
        sentence += f" Significantly worse than {base}: {named}."
    return sentence


def _of_the_best(results: Results, place: Place) -> str:
    """Say, without a baseline, from which methods the best one differs."""
    best, said, unit = place.ranked()[0], results.said(place), results.unit
    tested = [test for test in place.against_best.values() if test.p is not None]
    first = f"At {said}, {best.method} has the best mean {unit.name}, {unit.value(best.mean)}"
    if not tested:
        return f"{first}; no test is possible: a paired test needs two common seeds."
    level = [test for test in tested if not test.worse]
    if not level:
        return f"{first}, significantly better than every other method (after Holm over {len(tested)} methods)."
    near = min(level, key=lambda test: abs(test.gain))
    return (
        f"{first}; {len(level)} of {len(tested)} other methods are not significantly worse, the nearest being "
        f"{near.method}, behind {_by(results, near)}."
    )


def limits_of(results: Results) -> list[str]:
    """Return what limits the answer: no confirmation, few seeds, missing trials, no baseline, the protocol."""
    spec, name, found = results.view.spec, results.view.spec.name, []
    if results.view.state != "finished":
        found.append(f"The study is {results.view.state}; the page shows what has ended so far.")
    if any(place.ranked() for place in results.places):  # else the answer says why there is none
        found += absences_of(results)
    if results.over == "folds":
        found.append(
            "The values are those of a cross-validation on held-out folds, of the best setting that all folds have "
            "trained. The folds share training images, so no significance test is made; no test image was read."
        )
    elif results.images == "validation" and any(place.ranked() for place in results.places):
        more = "" if spec.confirm is not None else " --set confirm.seeds=5"
        found.append(
            "Not confirmed: every value is the best of a search, measured on the validation images that selected it, "
            "with one seed. It is optimistic, and no significance test is possible. To retrain the best settings with "
            "new seeds and evaluate them on the test images, with the --storage of this study: "
            f"study resume {name}{more}"
        )
    if results.images == "test":
        if 0 < results.fewest < FEWEST_SEEDS:
            seeds = results.fewest
            found.append(
                f"Some results rest on {seeds} seed{'' if seeds == 1 else 's'}. With fewer than {FEWEST_SEEDS} the "
                "paired tests have little power: a difference that is not significant may still exist."
            )
        missing = sum(score.missing for place in results.places for score in place.scores.values())
        if missing:
            said = "has failed, or has" if missing == 1 else "have failed, or have"
            found.append(f"{counted(missing, 'trial')} of the confirmation {said} not ended yet.")
        absent = [
            f"{method} at {results.said(place)}"
            for place in results.places
            if place.ranked()
            for method in place.cells
            if method not in place.scores or not place.scores[method].n
        ]
        if absent:
            found.append(f"Without a result on test images: {listed(absent)}.")
    if results.baseline is None:
        found.append("The study has no ERM, so nothing says what the methods gain over plain training.")
    drawn = {trial.test_images for cell in results.view.cells for trial in cell.confirming[:1] if trial.test_images}
    found += [f"A data set has no test split of its own; test images: {said}." for said in sorted(drawn)]
    if any(data.protocol == "test-select" for data in spec.data):
        found.append("Protocol test-select: params were selected on the test images, so the results are optimistic.")
    if results.images == "test":
        found.append(
            "A seed sets initial weights and image order, not the images: the tests say nothing about other data."
        )
    if len(spec.search.metrics) > 1:
        found.append(f"The search had several metrics; the page shows {results.unit.name}.")
    return found


def gain_text(gain: ClassGain, method: str, against: str, place: str, level: float = LEVEL) -> str:
    """Say which class gained most from one method to another."""
    spread = f" ± {100 * gain.deviation:.1f}" if math.isfinite(gain.deviation) else ""
    tested = ""
    if gain.p is not None:
        said = "significant" if gain.p < level else "not significant"
        tested = f"; {said} ({p_text(gain.p, level)}, Bonferroni over classes)"
    images = "1 training image" if gain.count == 1 else f"{gain.count} training images"
    return (
        f"At {place}, {method} against {against}: class {gain.name} ({images}) gained most, "
        f"+{100 * (gain.after - gain.before):.1f}{spread} points of recall ({100 * gain.before:.1f} % to "
        f"{100 * gain.after:.1f} %){tested}."
    )


def metric_text(results: Results) -> str:
    """Describe the metric: its meaning and its direction."""
    meaning, direction = METRICS[results.metric]
    return f"{results.unit.name}: {meaning}; {'larger' if direction == 'maximize' else 'smaller'} is better"
