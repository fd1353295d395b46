"""The command ``study reproduce``: lists the papers' tables, trains one again, prints ours beside the paper's."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli.options import Address, AsJson, DataDir, Storage, with_data_folder
from trainables.core.storage_path import StoragePath

if TYPE_CHECKING:
    from rich.console import Console

    from study.report.forecast import Measured
    from study.reproduce.reproduction_cost import MeasureStudy
    from study.reproduce.reproduction_plan import Plan
    from study.spec.cell import Cell
    from study.spec.study_spec import StudySpec


def reproduce(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Table, for example cce/table-9.")] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the table without training anything.")] = False,
    scale: Annotated[float, typer.Option(help="Fraction of epochs, trials and seeds; labelled as not comparable.")] = 1,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Row, column, method, data set, profile or network to keep, or METHOD/PROFILE; may be repeated. "
            "`table` keeps what the table shows and nothing else."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Network in place of the table's.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Data set in place of the table's first one, long-tailed.")
    ] = None,
    ratio: Annotated[
        float, typer.Option(help="Imbalance ratio of --dataset; the output says it beside the table's.")
    ] = 100,
    measure: Annotated[bool, typer.Option("--measure", help="With --show: time a few batches for the hours.")] = False,
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    address: Address = None,
    storage: Storage = None,
    data_dir: DataDir = None,
) -> None:
    """Reproduce a table of the five papers.

    Its studies are trained, and ours is printed beside the published figures.

    Without a name, list all tables. An interrupted reproduction continues where it stopped. Shortened, restricted or
    replaced forms have studies of their own.
    """
    from study import terminal
    from study.driver.last_signals import hold_signals, study_is_over
    from study.reproduce.joined_figures import joined_as_json, joined_figures
    from study.reproduce.published import published_tables, table_named
    from study.reproduce.reproduction_list import hours_text, listed, print_list
    from study.reproduce.reproduction_plan import Changes, plan
    from study.reproduce.reproduction_tables import print_reproduction, reproduction_markdown
    from study.store.study_folder import storage_root
    from trainables.core.errors import BadInput

    root, folder = storage_root(storage), _data_folder(data_dir)
    if as_json and markdown:
        raise BadInput("--json and --markdown: only one of them")
    if name is None:
        lines = [listed(table, root, folder) for table in published_tables()]
        if as_json:
            typer.echo(json.dumps([line.to_json() for line in lines], indent=1))
        else:
            print_list(lines, terminal.console())
        return
    planned = plan(table_named(name), Changes(scale, tuple(only or ()), model, dataset, ratio))
    code = 0
    if not show:
        # what is printed for programs stays alone on standard output
        progress = terminal.console() if not (as_json or markdown) else _errors()
        code = _train(planned, root, data_dir, folder, address, progress)
        hold_signals()
        study_is_over()
    joined = joined_figures(planned, root)
    line = None
    if show:
        line = listed(planned.table, root, folder, planned=planned, measure=_measure_in(data_dir) if measure else None)
    if as_json:
        shown = joined_as_json(planned, joined)
        typer.echo(json.dumps(shown if line is None else {**shown, "cost": line.to_json()}, indent=1))
    elif markdown:
        typer.echo(reproduction_markdown(planned, joined))
    else:
        console = terminal.console()
        print_reproduction(planned, joined, console)
        if line is not None and line.cost.cells:
            said = f"{line.cost.cells} cells, {line.cost.trials} trials, hours: {hours_text(line.cost)}"
            console.print(
                f"Whole: {said} ({line.cost.source}); data: {', '.join(map(str, line.needs))}", highlight=False
            )
    raise typer.Exit(code)


def _errors() -> Console:
    from rich.console import Console

    return Console(stderr=True)


def _data_folder(data_dir: Path | None) -> Path | None:
    from trainables.core.paths import data_folder_named

    if data_dir is not None:
        return data_folder_named(data_dir, "--data-dir")
    found = os.environ.get("STUDY_DATA_DIR")
    return data_folder_named(found, "STUDY_DATA_DIR") if found else None


def _train(
    planned: Plan, root: StoragePath, data_dir: Path | None, folder: Path | None, address: str | None, console: Console
) -> int:
    """Run or resume the studies of a table whose data can be had; return the worst exit code."""
    from study.driver import driver
    from study.driver.exit_codes import ExitCode
    from study.reproduce.needed_data import need_of
    from study.reproduce.stored_reproduction import stored_view
    from trainables.core.errors import BadInput

    table, left_out = planned.table, []
    for label in planned.labels:
        console.print(f"{table.name}: {label}", highlight=False, markup=False)
    ready = []
    for study in planned.studies.values():
        missing = [need for name in study.spec.data if not (need := need_of(name.dataset, folder)).trains]
        left_out += [
            f"{study.spec.name} is left out: {need.dataset} is {need.access} ({need.said})" for need in missing
        ]
        if not missing:
            ready.append(study)
    if not ready:
        why = "; ".join(left_out) or next((e.place.not_run for e in planned.entries if e.place.not_run), "no study")
        raise BadInput(f"{table.name} cannot be trained here: {why}. --show prints the published figures")
    for line in left_out:
        console.print(line, style="yellow", highlight=False, markup=False)
    code = ExitCode.DONE
    for study in ready:
        spec = _for_this_machine(study.spec, address, console)
        console.print(f"{table.name}: study {spec.name}", highlight=False, markup=False)
        stored = stored_view(study.spec, root)
        if stored is None:
            spec = with_data_folder(spec, data_dir)
            done = driver.run(spec, root, address=address, console=console, source=str(study.file))
        else:
            now, before = spec.resources, stored.spec.resources
            here = (f"resources.gpus={now.gpus:g}", f"resources.cpus={now.cpus}") if now != before else ()
            done = driver.resume(spec.name, root, here, address=address, console=console, data_dir=data_dir)
        console.print(done.message, highlight=False, markup=False)
        code = max(code, done.code)
        if done.code == ExitCode.INTERRUPTED:
            break
    return int(code)


def _for_this_machine(spec: StudySpec, address: str | None, console: Console) -> StudySpec:
    """Return the study with the resources that this machine has, if it lacks the GPU or processors of the file."""
    if address is not None:
        return spec
    import torch

    asked, cpus = spec.resources, os.cpu_count() or 1
    if torch.cuda.device_count() >= asked.gpus and cpus >= asked.cpus:
        return spec
    gpus = asked.gpus if torch.cuda.device_count() >= asked.gpus else 0.0
    console.print(
        f"  this machine has not the resources of the study file (cpus {asked.cpus}, gpus {asked.gpus:g}): "
        f"trials get {min(asked.cpus, cpus)} processors and {gpus:g} GPUs",
        style="yellow",
        highlight=False,
    )
    changed = asked.model_copy(update={"gpus": gpus, "cpus": min(asked.cpus, cpus)})
    return spec.model_copy(update={"resources": changed})


def _measure_in(data_dir: Path | None) -> MeasureStudy:
    from study.cli.check_command import measured_rates
    from study.spec.cell import expand

    def measured(spec: StudySpec, cells: Sequence[Cell]) -> tuple[Measured, float]:
        placed = with_data_folder(spec, data_dir)
        return measured_rates(placed, expand(placed))

    return measured
