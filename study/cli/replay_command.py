"""The command ``study replay``."""

from __future__ import annotations

from typing import Annotated

import typer

from study.cli.json_output import print_json
from study.cli.options import AsJson, Name, Overrides, Storage


def replay(
    name: Name,
    overrides: Overrides = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of replays, each with its own seed.")] = 1,
    noise: Annotated[bool, typer.Option(help="Add to each trial the noise of a recorded neighbour.")] = False,
    tolerance: Annotated[
        float,
        typer.Option(min=0, help="Distance to the best recorded trial that counts as near, in metric units."),
    ] = 0.005,
    as_json: AsJson = False,
    storage: Storage = None,
) -> None:
    """Replay a recorded study under other search settings.

    Recorded curves replace training, so that another search, for example --set search.searcher=gp, takes seconds.
    """
    from study import terminal
    from study.replay.study_replay import ReplayOptions, print_replay, replay_study
    from study.store.study_folder import StudyFolder, storage_root

    options = ReplayOptions(tuple(overrides or ()), seeds, noise, tolerance)
    found = replay_study(StudyFolder(storage_root(storage), name), options)
    if as_json:
        print_json(found)
    else:
        print_replay(found, terminal.console())
