"""The command ``study check``: says what a study file would cost, without starting anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli.json_output import print_json
from study.cli.options import AsJson, DataDir, Overrides, SpecPath, Storage, with_data_folder

if TYPE_CHECKING:
    from study.report.forecast import Measured
    from study.spec.cell import Cell
    from study.spec.study_spec import StudySpec
    from trainables.core.config import TrialConfig


def check(
    spec: SpecPath,
    overrides: Overrides = None,
    measure: Annotated[bool, typer.Option("--measure", help="Time a few batches now; reads the data.")] = False,
    as_json: AsJson = False,
    storage: Storage = None,
    data_dir: DataDir = None,
) -> None:
    """Check a study file; forecast trials, epochs, hours, disk.

    Nothing is started or stored. Hours come from trials recorded in the storage folder, or with --measure from a short
    training of each data set and profile.
    """
    from study import terminal
    from study.driver.dry_checks import check_without_data
    from study.driver.places import with_places
    from study.report.forecast import forecast, forecast_lines
    from study.spec.ignored_keys import ignored_key_notes
    from study.spec.validation import load_spec, milestone_note, random_weights_note
    from study.store.study_folder import storage_root

    checked, root = load_spec(spec, tuple(overrides or ())), storage_root(storage)
    with_places(checked)  # refuses what is no URL
    check_without_data(checked, data_dir, spec.name)
    measuring = None
    if measure:
        checked = with_data_folder(checked, data_dir)

        def measuring(cells: Sequence[Cell]) -> tuple[Measured, float]:
            return measured_rates(checked, cells)

    found = forecast(checked, root, measure=measuring)
    found_notes = (milestone_note(checked), _note_on_weights(checked, spec.name), random_weights_note(checked))
    notes = [*(note for note in found_notes if note is not None), *ignored_key_notes(checked)]
    tests = _test_notes(checked, data_dir, spec.name)
    if as_json:
        print_json({**found.to_json(), "notes": [*tests, *notes]})
        return
    console = terminal.console()
    for line in [*forecast_lines(found, checked, root), *tests]:
        console.print(line, highlight=False, markup=False)
    for note in notes:
        console.print(note, style="yellow", highlight=False, markup=False)


def _note_on_weights(spec: StudySpec, source: str) -> str | None:
    """Say where the weights of ``weights: timm`` are, without asking a server.

    Raises:
        BadInput: there are none of this network.
    """
    from trainables.backbones.timm_lookup import note_on_weights
    from trainables.core.errors import BadInput

    try:
        return note_on_weights(spec.model)
    except BadInput as error:
        raise BadInput(f"{source}: model: {error}") from None


def _test_notes(spec: StudySpec, data_dir: Path | None, source: str) -> list[str]:
    """Say of every data set without a test split what serves as one; a data set that is not here yet is left out.

    Raises:
        BadInput: a class has too few images for a test image, or test images shall be drawn from a data set that has a
            test split.
    """
    from study.spec.cell import dataset_label
    from trainables.core.errors import BadInput
    from trainables.core.hf_name import is_hf
    from trainables.data.sources.source import other_test_of
    from trainables.data.sources.source_lookup import find_source, is_here

    notes: dict[str, None] = {}
    for i, data in enumerate(spec.data):
        placed = data if data_dir is None or data.data_dir else data.model_copy(update={"data_dir": str(data_dir)})
        config = placed.configs()[0]
        if not is_here(config):
            if is_hf(data.dataset):
                notes[f"{dataset_label(data)}: its splits are not known before a run has fetched and converted it"] = (
                    None
                )
            continue
        try:
            other = other_test_of(find_source(config))
        except BadInput as error:
            raise BadInput(f"{source}: data[{i}]: {error}") from None
        if other is not None:
            notes[f"{dataset_label(data)}: {other.said}"] = None
    return list(notes)


def _without_weights(config: TrialConfig) -> TrialConfig:
    """Return a training that takes as long and reads no weights, which may not have been downloaded."""
    return config.model_copy(update={"model": config.model.model_copy(update={"weights": None})})


def measured_rates(spec: StudySpec, cells: Sequence[Cell]) -> tuple[Measured, float]:
    """Measure one training for each data set and profile."""
    from study.report.recorded_rates import Rate
    from trainables.entry_points.measured_rate import measured_rate

    rates: dict[tuple[str, str], Rate] = {}
    largest = 0
    for cell in cells:
        place = cell.dataset, cell.profile
        if place not in rates:
            seconds, size = measured_rate(_without_weights(cell.base), spec.resources.cpus)
            rates[place] = Rate(seconds, "measured now with ERM, without validation")
            largest = max(largest, size)
    return rates, float(largest)
