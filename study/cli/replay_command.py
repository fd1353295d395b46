"""The command that runs a recorded study again without training."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from study.cli.options import AsJson, Name, Overrides, Storage


def replay(
    name: Name,
    overrides: Overrides = None,
    seeds: Annotated[int, typer.Option(min=1, help="Replays, each with a seed of its own.")] = 1,
    noise: Annotated[bool, typer.Option(help="Give every trial the noise of a recorded neighbour.")] = False,
    tolerance: Annotated[
        float, typer.Option(min=0, help="How near to the best recorded trial is near enough, in the metric's unit.")
    ] = 0.005,
    as_json: AsJson = False,
    storage: Storage = None,
) -> None:
    """Run a recorded study again without training.

    Its curves stand for training, so that another search, say --set search.searcher=gp, is tried in seconds.
    """
    from study import terminal
    from study.replay.study_replay import ReplayOptions, print_replay, replay_study
    from study.store.study_folder import StudyFolder, storage_root

    wishes = ReplayOptions(tuple(overrides or ()), seeds, noise, tolerance)
    found = replay_study(StudyFolder(storage_root(storage), name), wishes)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    else:
        print_replay(found, terminal.console())
