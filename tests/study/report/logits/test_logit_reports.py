"""Reports from the kept logits of a stored study."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from study.cli.app import app
from study.ledger.cell_ledger import Assignment
from study.report.logits.adjustment import adjustments, adjustments_as_json, print_adjustments
from study.report.logits.calibration_report import calibrated, calibration_as_json, print_calibration
from study.report.logits.ensembles import ensembled, ensembles_as_json, print_ensembles
from study.report.logits.reliability_diagram import write_reliability_pictures
from study.report.logits.stored_logits import places_of
from study.store.study_view import open_view
from tests.study.made_study import MadeStudy, spec_of
from tests.study.report.logits.conftest import SEEDS, keep
from trainables.core.errors import BadInput
from trainables.core.logit_file import LOGIT_FILE
from trainables.core.metrics import from_confusion

Confirmed = tuple[MadeStudy, list[Assignment]]


def _printed(what: Any, found: Any) -> str:
    console = Console(width=250)
    with console.capture() as capture:
        what(found, console)
    return capture.get()


def test_calibration_has_a_row_per_setting_and_its_class_metrics_are_the_recorded_ones(confirmed: Confirmed) -> None:
    made, trials = confirmed
    found = calibrated(open_view(made.folder))
    ((place, settings),) = found.places
    assert place.name == "digits long_tail-10"
    assert sorted((one.row.method, one.kept.label) for one in settings) == [
        ("cce", "best = preset"),
        ("erm", "best = preset"),
    ]
    for one in settings:
        assert one.row.n == SEEDS and one.bins.count.sum() == SEEDS * 600
        for trial in (trial for trial in trials if trial.cell.method == one.row.method):
            test = made.files(trial).test() or {}
            expected = from_confusion(test["confusion"], test["class_counts"])
            assert one.row.by_seed["balanced_accuracy"][trial.seed] == expected["balanced_accuracy"]
    assert found.agreement.trials == 2 * SEEDS
    assert (found.agreement.unlike_recorded, found.agreement.rounded) == (0, 0)
    said = _printed(print_calibration, found)
    assert "calibration on test images, probabilities as trained" in said
    assert "Kept predictions of 6 trials agree with the recorded confusion matrices" in said


def test_titles_say_when_a_temperature_is_fitted_and_it_lowers_the_nll_it_was_fitted_on(confirmed: Confirmed) -> None:
    view = open_view(confirmed[0].folder)
    plain, scaled = calibrated(view), calibrated(view, temperature=True)
    said = _printed(print_calibration, scaled)
    assert "temperature fitted on validation images" in said.splitlines()[1] and " T\n" in said
    for one, other in zip(plain.places[0][1], scaled.places[0][1], strict=True):
        assert other.row.mean("nll") < one.row.mean("nll")  # these test images are the validation images
        assert other.row.by_seed["accuracy"] == one.row.by_seed["accuracy"]
    assert calibration_as_json(scaled)["temperature_fitted_on_validation"] is True


def test_ensembles_stand_beside_the_single_networks(confirmed: Confirmed) -> None:
    found = ensembled(open_view(confirmed[0].folder))
    erm = next(one for one in found.places[0][1] if one.single.method == "erm")
    kept = erm.kept.trials
    logits = [trial.read().splits["test"].logits.astype(float) for trial in kept]
    mean = np.mean([np.exp(one) / np.exp(one).sum(axis=1, keepdims=True) for one in logits], axis=0)
    labels = kept[0].read().splits["test"].labels
    assert erm.ensemble["accuracy"] == (mean.argmax(axis=1) == labels).mean()
    assert erm.ensemble["nll"] == pytest.approx(-np.log(mean[np.arange(len(labels)), labels]).mean())
    said = _printed(print_ensembles, found)
    assert " single " in said and "ensemble of 3" in said
    json.dumps(ensembles_as_json(found), allow_nan=False)


def test_an_ensemble_over_other_images_is_refused(confirmed: Confirmed) -> None:
    made, trials = confirmed
    test = made.files(trials[-1]).test() or {}
    test["confusion"][0][0] += 1
    made.files(trials[-1]).write_test(test)
    keep(made, trials[-1])
    with pytest.raises(BadInput, match="other labels"):
        ensembled(open_view(made.folder))


def test_adjustments_show_each_tau_below_the_trained_logits(confirmed: Confirmed) -> None:
    found = adjustments(open_view(confirmed[0].folder), [None, 0.0, 1.0])
    for one in found.places[0][1]:
        by_tau = dict(one.after)
        assert by_tau[0.0].by_seed["balanced_accuracy"] == one.before.by_seed["balanced_accuracy"]
        assert by_tau[None].mean("balanced_accuracy") >= one.before.mean("balanced_accuracy")  # selected on these
        assert set(by_tau[1.0].by_seed["tau"].values()) == {1.0}
    said = _printed(print_adjustments, found)
    assert "as trained" in said and "auto: " in said and "needs the network" in said
    rows = adjustments_as_json(found)["places"][0]["rows"]
    assert [one["tau"] for one in rows[0]["adjusted"]] == ["auto", 0.0, 1.0]


def test_logits_that_disagree_with_the_records_are_counted(confirmed: Confirmed) -> None:
    made, trials = confirmed
    test = made.files(trials[0]).test() or {}
    row = test["confusion"][0]
    wrong = next(k for k in range(1, 10) if row[k])
    row[0], row[wrong] = row[0] + 1, row[wrong] - 1
    made.files(trials[0]).write_test(test)
    found = calibrated(open_view(made.folder))
    assert found.agreement.unlike_recorded == 1
    assert "differ from the recorded confusion matrices in 1 of 3600 test images" in _printed(print_calibration, found)


def test_trials_without_logits_are_left_out_and_said_so(confirmed: Confirmed) -> None:
    made, trials = confirmed
    (made.files(trials[0]).path / LOGIT_FILE).unlink()
    found = calibrated(open_view(made.folder))
    assert sorted(one.row.n for one in found.places[0][1]) == [SEEDS - 1, SEEDS]
    assert "Trials left out, since they keep no logits: 1." in _printed(print_calibration, found)


def test_a_study_that_keeps_none_says_how_to_get_them(tmp_path: Path) -> None:
    made = MadeStudy(tmp_path, spec_of(search={"trials": 1}, confirm={"seeds": 1}))
    made.complete("erm"), made.complete("cce")
    with pytest.raises(BadInput, match="keeps no logits yet"):
        places_of(open_view(made.folder))
    made.confirm(lambda trial: 0.5)
    with pytest.raises(BadInput, match=r"keeps no logits.*--set artifacts.logits=confirm --set confirm.seeds=6"):
        places_of(open_view(made.folder))
    plain = MadeStudy(tmp_path, spec_of("plain"))
    with pytest.raises(BadInput, match="has no confirmation"):
        places_of(open_view(plain.folder))


def test_a_reliability_diagram_per_data_set_and_profile(confirmed: Confirmed, tmp_path: Path) -> None:
    found = calibrated(open_view(confirmed[0].folder))
    (path,) = write_reliability_pictures(found, "made", tmp_path / "new" / "pictures")
    assert path.name == "digits-long_tail-10.png"
    assert Image.open(io.BytesIO(path.read_bytes())).size[0] > 500
    with pytest.raises(BadInput, match=r"--pictures .*cannot be written"):
        write_reliability_pictures(found, "made", path)


@pytest.mark.parametrize(
    ("words", "title"),
    [
        (["calibration", "made"], "calibration on test images"),
        (["ensemble", "made"], "mean of their softmax"),
        (["adjust", "made", "--tau", "0.5"], "post-hoc logit adjustment"),
    ],
    ids=lambda given: given[0] if isinstance(given, list) else "",
)
def test_the_commands_print_tables_and_json(confirmed: Confirmed, words: list[str], title: str) -> None:
    words = [*words, "--storage", str(confirmed[0].folder.storage)]
    assert title in CliRunner().invoke(app, words).output
    found = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    assert found["agreement"]["unlike_recorded"] == 0 and len(found["places"][0]["rows"]) == 2
