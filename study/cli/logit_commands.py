"""Commands that answer from kept logits, without training: calibration, ensemble, adjust."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli.json_output import print_json
from study.cli.options import AsJson, Name, Storage

if TYPE_CHECKING:
    from study.store.study_view import StudyView


def calibration(
    name: Name,
    temperature: Annotated[
        bool, typer.Option("--temperature", help="Scale with a temperature fitted on validation images.")
    ] = False,
    bins: Annotated[int, typer.Option(min=1, max=1000, help="Bins of equal width.")] = 15,
    pictures: Annotated[
        Path | None, typer.Option("--pictures", metavar="DIR", help="Folder for reliability diagrams.")
    ] = None,
    as_json: AsJson = False,
    storage: Storage = None,
) -> None:
    """Report calibration on test images: ECE, NLL, Brier score.

    It is computed from the logits that confirmed trials keep; nothing is trained.
    """
    from study import terminal
    from study.report.logits.calibration_report import calibrated, calibration_as_json, print_calibration
    from study.report.logits.reliability_diagram import write_reliability_pictures

    found = calibrated(_view(name, storage), temperature=temperature, bins=bins)
    written = [] if pictures is None else write_reliability_pictures(found, name, pictures)
    if as_json:
        print_json(calibration_as_json(found))
        return
    print_calibration(found, terminal.console())
    for path in written:
        typer.echo(f"wrote {path}")


def ensemble(name: Name, as_json: AsJson = False, storage: Storage = None) -> None:
    """Report ensembles over seeds on test images.

    The softmax of all seeds of a setting is averaged. It is computed from the logits that confirmed trials keep;
    nothing is trained.
    """
    from study import terminal
    from study.report.logits.ensembles import ensembled, ensembles_as_json, print_ensembles

    found = ensembled(_view(name, storage))
    if as_json:
        print_json(ensembles_as_json(found))
    else:
        print_ensembles(found, terminal.console())


def adjust(
    name: Name,
    tau: Annotated[
        list[str] | None,
        typer.Option(
            "--tau",
            metavar="TAU",
            help="Weight of the log prior, or auto: selected on validation images. May be repeated [default: auto, 1].",
        ),
    ] = None,
    as_json: AsJson = False,
    storage: Storage = None,
) -> None:
    """Report post-hoc logit adjustment on test images.

    It is computed from the logits that confirmed trials keep; nothing is trained.
    """
    from study import terminal
    from study.report.logits.adjustment import (
        STANDARD,
        adjustments,
        adjustments_as_json,
        parsed_tau,
        print_adjustments,
    )

    taus = [parsed_tau(given) for given in tau] if tau else STANDARD
    found = adjustments(_view(name, storage), taus)
    if as_json:
        print_json(adjustments_as_json(found))
    else:
        print_adjustments(found, terminal.console())


def _view(name: str, storage: str | None) -> StudyView:
    from study.store.study_folder import StudyFolder, storage_root
    from study.store.study_view import open_view

    return open_view(StudyFolder(storage_root(storage), name))
