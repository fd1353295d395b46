"""Files of a storage cut short, changed or deleted: a study goes on exactly, or one error names the file."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from study.report.status import overview, status_of
from study.store.study_check import check_study
from study.store.study_folder import StudyFolder
from study.store.study_view import open_view
from tests.faults.fault_lab import Said, content, timeless
from tests.faults.inline_driver import InlineDriver
from tests.study.made_study import MadeStudy, spec_of
from trainables.core.errors import BadInput
from trainables.shared_trainings.stored_trainings import shared_faults

pytestmark = pytest.mark.timeout(600)

NAME = "stored"
STUDY: dict[str, Any] = {
    "name": NAME,
    "data": [{"dataset": "digits", "validation_fraction": 0.2, "profiles": [{"ratio": 10}]}],
    "methods": ["erm", "ldam-drw"],
    "model": "mlp",
    "training": {"epochs": 4, "batch_size": 64, "lr": 0.05, "checkpoint_seconds": 0, "precision": "float32"},
    "search": {"trials": 2, "searcher": "random", "pruner": "none"},
    "confirm": {"seeds": 1},
    "artifacts": dict.fromkeys(("offsets", "embedding", "mistakes", "logits", "model"), "none"),
}
STOPPED_AFTER = 11
"""Epochs: two trials have ended, one has two epochs of which the ledger knows one, and a shared training is stored."""

Damage = Callable[[bytes], bytes | None]
"""What becomes of a file's content; None deletes it."""


def _flip(where: float) -> Damage:
    def damage(whole: bytes) -> bytes:
        at = min(len(whole) - 1, int(len(whole) * where))
        return whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]

    return damage


def _cut(where: float) -> Damage:
    return lambda whole: whole[: int(len(whole) * where)]


DAMAGES: dict[str, Damage] = {
    "flipped at 5 %": _flip(0.05),
    "flipped in the middle": _flip(0.5),
    "flipped at 95 %": _flip(0.95),
    "emptied": _cut(0),
    "cut in the middle": _cut(0.5),
    "without its last byte": lambda whole: whole[:-1],
    "deleted": lambda _: None,
}
QUICK = ("flipped in the middle", "cut in the middle")

CELLS = f"{NAME}/cells/digits/long_tail-10"
CONTINUED = {
    "the newest checkpoint": f"{CELLS}/ldam-drw/00001/checkpoint-000002.pt",
    "the epochs of a running trial": f"{CELLS}/ldam-drw/00001/epochs-*.jsonl",
    "the configuration of a running trial": f"{CELLS}/ldam-drw/00001/trial.json",
    "the evaluation of a running trial": f"{CELLS}/ldam-drw/00001/evaluation.json",
    "the files of an ended trial": f"{CELLS}/erm/00001/trial.zip",
    "the state of a shared training": "shared/*/state-000003.pt",
    "the epochs of a shared training": "shared/*/epochs-*.jsonl",
}
"""Files without which a study goes on exactly."""
REFUSED = {
    "the ledger": f"{NAME}/ledger.journal",
    "the study file": f"{NAME}/study.yaml",
    "the digests of the data": f"{NAME}/data.json",
    "the version of the format": f"{NAME}/format.json",
}
"""Files that nothing can replace."""
EXCEPTIONS = {
    ("the ledger", "without its last byte"): "continued",  # its last line is cut off, as after a kill
    ("the digests of the data", "deleted"): "continued",  # the trials have recorded them
}


class Base(NamedTuple):
    """A storage with an interrupted study and another one, and how the interrupted one ends undisturbed."""

    storage: Path
    end: dict[str, Said]
    epochs: dict[str, list[dict[str, str]]]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Base]:
    """Train once, until the driver vanishes in mid-study, and a copy of it to the end."""
    place = tmp_path_factory.mktemp("stored")
    with pytest.MonkeyPatch.context() as patch:
        driver = InlineDriver(patch)
        driver.stop_after = STOPPED_AFTER
        driver.run(STUDY, place / "runs")
        MadeStudy(place / "runs", spec_of("other")).complete()
        shutil.copytree(place / "runs", place / "undisturbed")
        driver.stop_after = None
        assert driver.resume(place / "undisturbed", NAME).code == 0
        yield Base(place / "runs", *_said(place / "undisturbed"))


@pytest.fixture
def storage(base: Base, tmp_path: Path) -> Path:
    """A copy of the interrupted study's storage."""
    return Path(shutil.copytree(base.storage, tmp_path / "runs"))


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> InlineDriver:
    """A driver for the damaged storage."""
    return InlineDriver(monkeypatch)


def _said(storage: Path) -> tuple[dict[str, Said], dict[str, list[dict[str, str]]]]:
    """Return what ledger and files say of every trial."""
    view = open_view(StudyFolder(storage, NAME))
    trials = [trial for cell in view.cells for trial in cell.all_trials]
    tests = {trial.key: repr((trial.test() or {}).get("metrics")) for trial in trials}
    epochs = {trial.key: [*map(timeless, trial.history()), {"test": tests[trial.key]}] for trial in trials}
    return content(view), epochs


def _digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _damaged(storage: Path, pattern: str, damage: Damage) -> Path:
    (file,) = storage.glob(pattern)
    changed = damage(file.read_bytes())
    file.unlink() if changed is None else file.write_bytes(changed)
    return file


CASES = [
    pytest.param(what, damage, id=f"{what}, {damage}", marks=() if damage in QUICK else pytest.mark.slow)
    for what in (*CONTINUED, *REFUSED)
    for damage in DAMAGES
]


@pytest.mark.parametrize(("what", "damage"), CASES)
def test_a_damaged_file_costs_nothing_or_is_named(
    what: str, damage: str, base: Base, storage: Path, driver: InlineDriver
) -> None:
    others = _digests(storage / "other")
    file = _damaged(storage, {**CONTINUED, **REFUSED}[what], DAMAGES[damage])
    expected = EXCEPTIONS.get((what, damage), "continued" if what in CONTINUED else str(file))
    if expected == "continued":
        assert driver.resume(storage, NAME).code == 0
        ledger, epochs = _said(storage)
        assert ledger == base.end
        lost = {f"{CELLS.removeprefix(f'{NAME}/cells/')}/erm/00001"} if file.name == "trial.zip" else set()
        assert {key: said for key, said in epochs.items() if key not in lost} == {
            key: said for key, said in base.epochs.items() if key not in lost
        }
    else:
        before = _digests(storage / NAME / "cells")
        with pytest.raises(BadInput) as caught:
            driver.resume(storage, NAME)
        assert expected in str(caught.value)
        assert "\n" not in str(caught.value)
        assert _digests(storage / NAME / "cells") == before
        # with a copy put back, it goes on as if nothing had been
        shutil.copy(base.storage / file.relative_to(storage), file)
        assert driver.resume(storage, NAME).code == 0
        assert _said(storage) == (base.end, base.epochs)
    assert _digests(storage / "other") == others
    assert {study["study"]: study["state"] for study in overview(storage)}["other"] == "interrupted"
    assert status_of(storage, "other")["cells"][1]["states"]["COMPLETE"] == 1


def _replaced(journal: Path, old: str, new: str) -> None:
    """Change a value in the journal, without its checksum: as a database would hold it, or an earlier version."""
    text = journal.read_text()
    assert old in text
    changed = [line for line in text.splitlines() if old in line][-1]
    plain = changed[: changed.index(',"crc32"')] + "}"
    journal.write_text(text.replace(changed, plain.replace(old, new)))


def _value(storage: Path, state: str = '"state":1') -> str:
    """Return the value of the last trial that ended, as the journal has it."""
    lines = (storage / NAME / "ledger.journal").read_text().splitlines()
    last = [line for line in lines if state in line and '"values":[' in line][-1]
    return last.partition('"values":[')[2].partition("]")[0]


@pytest.mark.parametrize("digit", ["9.", "0.1"])
def test_a_changed_value_is_compared_with_the_trials_epochs(digit: str, storage: Path, driver: InlineDriver) -> None:
    right = _value(storage)
    wrong = repr(float(digit + right[2:] if digit == "9." else digit + right[3:]))
    journal = storage / NAME / "ledger.journal"
    _replaced(journal, f'"values":[{right}]', f'"values":[{wrong}]')
    for attempt in (lambda: driver.resume(storage, NAME), lambda: status_of(storage, NAME)):
        with pytest.raises(BadInput) as caught:
            attempt()
        said = str(caught.value)
        assert said.startswith(f"{journal}: trial digits/long_tail-10/erm/00001 has balanced_accuracy {wrong} (value)")
        assert f"have {right} at epoch 4" in said
        assert said.endswith(f"Put back a copy of the journal, or write {right} in that place")
    journal.write_text(journal.read_text().replace(wrong, right))
    assert driver.resume(storage, NAME).code == 0


def test_a_changed_value_without_its_files_must_be_possible(storage: Path) -> None:
    right = _value(storage)
    _replaced(storage / NAME / "ledger.journal", f'"values":[{right}]', f'"values":[9{right[1:]}]')
    shutil.rmtree(storage / CELLS / "erm/00001")
    with pytest.raises(BadInput, match=r"has balanced_accuracy 9\..* which must lie between 0 and 1"):
        status_of(storage, NAME)


def test_a_changed_line_names_line_trial_and_what_it_says(storage: Path) -> None:
    journal = storage / NAME / "ledger.journal"
    right = _value(storage)
    journal.write_text(journal.read_text().replace(f'"values":[{right}]', f'"values":[9{right[1:]}]'))
    number = next(n for n, line in enumerate(journal.read_text().splitlines(), 1) if f'"values":[9{right[1:]}]' in line)
    with pytest.raises(BadInput) as caught:
        status_of(storage, NAME)
    said = str(caught.value)
    assert said.startswith(f"{journal}: line {number} was changed after it was written, its checksum differs")
    assert f'"values": [{float(f"9{right[1:]}")!r}]}} of trial digits/long_tail-10/erm/00001' in said


def test_a_deleted_ledger_says_what_is_there_and_how_to_go_on(storage: Path, base: Base, driver: InlineDriver) -> None:
    journal, cells = storage / NAME / "ledger.journal", storage / NAME / "cells"
    journal.unlink()
    for attempt in (lambda: driver.resume(storage, NAME), lambda: status_of(storage, NAME)):
        with pytest.raises(BadInput) as caught:
            attempt()
        assert str(caught.value) == (
            f"{journal}: is missing or empty, but {cells} holds 4 trials (digits/long_tail-10/erm/00000, "
            "digits/long_tail-10/erm/00001, digits/long_tail-10/ldam-drw/00000 and 1 more). Only the ledger knows how "
            "trials ended: put back a copy of it. "
            f"Without one, move {cells} away, and `{StudyFolder(storage, NAME).command('resume')}` starts anew"
        )
    cells.rename(storage / "moved-away")
    assert driver.resume(storage, NAME).code == 0
    ledger, epochs = _said(storage)
    assert ledger == base.end and epochs == base.epochs


def test_an_older_ledger_is_refused_and_goes_on_without_the_trials_it_does_not_know(
    storage: Path, base: Base, driver: InlineDriver
) -> None:
    journal = storage / NAME / "ledger.journal"
    lines = journal.read_text().splitlines(keepends=True)
    later = next(number for number, line in enumerate(lines) if '"trial_id":2' in line) - 1
    journal.write_text("".join(lines[:later]))
    with pytest.raises(
        BadInput, match=r"ledger.journal: does not know 2 trials that .* holds \(.*erm/00001, .*00001\)"
    ):
        driver.resume(storage, NAME)
    for method in ("erm", "ldam-drw"):
        (storage / CELLS / method / "00001").rename(storage / f"moved-{method}")
    assert driver.resume(storage, NAME).code == 0
    assert _said(storage) == (base.end, base.epochs)


def test_a_ledger_that_lost_the_end_of_a_bundled_trial_takes_its_epochs_in(
    storage: Path, base: Base, driver: InlineDriver
) -> None:
    journal = storage / NAME / "ledger.journal"
    lines = journal.read_text().splitlines(keepends=True)
    end = next(number for number, line in enumerate(lines) if '"trial_id":1,"step":2' in line)
    kept = [line for line in lines[end:] if '"trial_id":1,' not in line]
    journal.write_text("".join([*lines[:end], *kept]))
    assert driver.resume(storage, NAME).code == 0
    assert _said(storage) == (base.end, base.epochs)


def test_a_changed_digest_is_told_from_changed_data(storage: Path, driver: InlineDriver) -> None:
    file = storage / NAME / "data.json"
    whole = file.read_text()
    digest = whole.partition('long_tail-10": "')[2][:64]
    other = ("0" if digest[0] != "0" else "1") + digest[1:]
    file.write_text(whole.replace(digest, other))
    with pytest.raises(BadInput, match=r"data\.json: was changed after it was written, its checksum differs; it holds"):
        driver.resume(storage, NAME)
    StudyFolder(storage, NAME).write_data({"digits/long_tail-10": other})  # as if the data had been others
    with pytest.raises(
        BadInput, match=rf"images or labels of digits/long_tail-10 changed .* {other}, now it is {digest}"
    ):
        driver.resume(storage, NAME)
    file.unlink()
    assert driver.resume(storage, NAME).code == 0
    assert "data.json was missing: written anew" in driver.said
    assert StudyFolder(storage, NAME).read_data() == {"digits/long_tail-10": digest}


def test_verify_reads_every_file_and_names_what_differs(storage: Path, driver: InlineDriver) -> None:
    assert driver.resume(storage, NAME).code == 0
    folder = StudyFolder(storage, NAME)
    assert check_study(folder).faults == ()
    _replaced(
        storage / NAME / "ledger.journal",
        '"trial_id":3,"step":2,"intermediate_value":0.',
        '"trial_id":3,"step":2,"intermediate_value":0.1',
    )
    _replaced(storage / NAME / "ledger.journal", '{"params":{"max_margin":0.', '{"params":{"max_margin":0.1')
    file = _damaged(storage, f"{CELLS}/erm/00001/trial.zip", _flip(0.5))
    parts, faults = check_study(folder)
    assert parts[-1] == "6 trials"
    (named,) = (fault for fault in faults if str(file) in fault)
    assert named.startswith(f"{file}: is damaged (") and named.endswith("put back a copy of it")
    changed = [fault for fault in faults if "ldam-drw/00001" in fault]
    assert len(changed) == len(faults) - 1 == 2
    assert "(value of epoch 2), but its epochs in" in changed[0]
    assert "method.params is" in changed[1] and "but it was trained with" in changed[1]


@pytest.mark.parametrize("damage", ["flipped in the middle", "emptied"])
def test_verify_names_every_file_of_a_study_that_is_damaged(damage: str, base: Base, tmp_path: Path) -> None:
    storage = Path(shutil.copytree(base.storage.with_name("undisturbed"), tmp_path / "runs"))
    files = [path for place in (NAME, "shared") for path in sorted((storage / place).rglob("*")) if path.is_file()]
    files = [path for path in files if not path.name.endswith("lock")]
    assert {"study.yaml", "format.json", "data.json", "warm-starts.json", "ledger.journal", "trial.zip"} <= {
        path.name for path in files
    }
    unnamed = []
    for file in files:
        whole = file.read_bytes()
        file.write_bytes(DAMAGES[damage](whole) or b"")
        faults = [*check_study(StudyFolder(storage, NAME)).faults, *shared_faults(storage / "shared")[1]]
        # an epochs file of a shared training is named by its folder: another attempt may have the same epochs
        name = str(file.parent if file.suffix == ".jsonl" else file)
        if len(faults) != 1 or name not in faults[0]:
            unnamed.append((str(file.relative_to(storage)), faults))
        file.write_bytes(whole)
    assert unnamed == []
    assert check_study(StudyFolder(storage, NAME)).faults == ()


def test_a_damaged_bundle_of_a_confirmed_trial_is_named_by_the_report(storage: Path, driver: InlineDriver) -> None:
    from study.report.confirmed_results import confirmed_tables

    assert driver.resume(storage, NAME).code == 0
    file = _damaged(storage, f"{CELLS}/erm/confirm/00000/trial.zip", _flip(0.5))
    with pytest.raises(BadInput, match=rf"{file}: is damaged, and with it the test results of trial"):
        confirmed_tables(open_view(StudyFolder(storage, NAME)))
    file.rename(storage / "moved-away")
    (table,) = confirmed_tables(open_view(StudyFolder(storage, NAME)))
    assert {row.method: row.n for row in table.rows} == {"erm": 0, "ldam-drw": 1}


def _parquet(file: Path, images: int) -> None:
    rng = np.random.default_rng(images)
    encoded = []
    for number in range(images):
        held = io.BytesIO()
        shade = rng.integers(0, 120, (8, 8), dtype=np.uint8) + np.uint8(100 * (number % 2))
        Image.fromarray(shade).save(held, "PNG")
        encoded.append(held.getvalue())
    pq.write_table(pa.table({"image": encoded, "label": [number % 2 for number in range(images)]}), file)


@pytest.mark.parametrize("damage", [pytest.param(d, marks=() if d in QUICK else pytest.mark.slow) for d in DAMAGES])
def test_a_damaged_data_file_is_named(
    damage: str, tmp_path: Path, driver: InlineDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "data/shades").mkdir(parents=True)
    _parquet(train := tmp_path / "data/shades/train.parquet", 60)
    _parquet(tmp_path / "data/shades/test.parquet", 20)
    data = {"dataset": "shades", "data_dir": str(tmp_path / "data"), "validation_fraction": 0.2}
    study = {**STUDY, "data": [{**data, "profiles": [{"ratio": 2}]}], "methods": ["erm"], "confirm": None}
    driver.stop_after = 2
    driver.run(study, tmp_path / "runs")
    driver.stop_after = None
    whole = train.read_bytes()
    train.unlink() if (changed := DAMAGES[damage](whole)) is None else train.write_bytes(changed)
    try:
        driver.resume(tmp_path / "runs", NAME)  # not every byte of the file says something of images or labels
    except BadInput as error:
        named = (str(train), "images or labels of shades/", "unknown data set 'shades'")
        assert any(name in str(error) for name in named), error
        train.write_bytes(whole)
        assert driver.resume(tmp_path / "runs", NAME).code == 0
    else:
        assert damage == "flipped at 95 %"
    assert status_of(tmp_path / "runs", NAME)["state"] == "finished"
