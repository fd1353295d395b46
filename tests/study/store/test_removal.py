from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from study.report.status import overview
from study.store.removal import holdings, remove_study
from study.store.study_folder import StudyFolder, stored_names
from tests.study.made_study import MadeStudy, spec_of
from trainables.core.errors import BadInput


def test_the_folder_goes_and_everything_else_stays(tmp_path: Path) -> None:
    made, other = MadeStudy(tmp_path), MadeStudy(tmp_path, spec_of("other"))
    made.complete("cce")
    (tmp_path / "mlflow.db").write_text("runs")
    (tmp_path / "shared").mkdir()
    assert holdings(made.folder).trials == 1 and holdings(made.folder).ledger is None
    remove_study(made.folder)
    assert {path.name for path in tmp_path.iterdir()} == {"other", "mlflow.db", "shared"}
    assert stored_names(tmp_path) == [other.folder.name]
    MadeStudy(tmp_path).complete("cce")  # the name is free, and nothing of the old ledger is left


def test_a_study_that_is_run_is_refused(tmp_path: Path) -> None:
    made = MadeStudy(tmp_path)
    with made.folder.driver_lock(), pytest.raises(BadInput, match="is being run by another process"):
        remove_study(made.folder)
    assert made.folder.spec_path.exists()


def test_a_ledger_in_a_database_is_emptied_of_this_study_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    folder = StudyFolder(tmp_path / "runs", "made")
    with folder.driver_lock():
        folder.create(spec_of(records={"ledger": url}), {})
    for name in ("made/digits/cce", "made2/digits/cce"):
        optuna.create_study(storage=url, study_name=name)
    assert holdings(folder).ledger == url
    remove_study(folder)
    assert optuna.get_all_study_names(url) == ["made2/digits/cce"]


def test_an_unknown_study_and_one_of_a_newer_program(tmp_path: Path) -> None:
    made = MadeStudy(tmp_path)
    with pytest.raises(BadInput, match="did you mean 'made'"):
        holdings(StudyFolder(tmp_path, "maed"))
    made.folder.format_path.write_text('{"version": 99}')
    remove_study(made.folder)
    assert stored_names(tmp_path) == []


@pytest.mark.parametrize("damage", ["method", "format", "yaml"])
def test_a_study_that_cannot_be_read_does_not_hide_the_others(damage: str, tmp_path: Path) -> None:
    odd, _ = MadeStudy(tmp_path, spec_of("odd")), MadeStudy(tmp_path, spec_of("sound"))
    if damage == "method":
        text = odd.folder.spec_path.read_text()
        odd.folder.spec_path.write_text(text.replace("name: cce", "name: from-the-future"))
    elif damage == "format":
        odd.folder.format_path.write_text('{"version": 99}')
    else:
        odd.folder.spec_path.write_text("[")
    states = {entry["study"]: entry["state"] for entry in overview(tmp_path)}
    assert states == {"odd": "unreadable", "sound": "interrupted"}
