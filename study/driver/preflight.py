"""Checks before Ray starts: the data of every cell, and the machine."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import torch
from rich.console import Console

from study.driver.cluster_token import NO_TOKEN, token
from study.driver.found_ray import found_address
from study.driver.head_check import why_no_head
from study.driver.image_settings import check_image_settings
from study.ledger.storage import open_storage
from study.spec.cell import Cell
from study.spec.study_spec import RecordsSpec, ResourcesSpec, StudySpec
from study.spec.validation import random_weights_note
from study.store.study_folder import check_ledger
from study.store.trial_view import TrialView
from study.tracking.client import tracking_uri
from trainables.backbones.layer_order import check_layer_order
from trainables.backbones.pretrained_weights import check_weights
from trainables.backbones.timm_lookup import with_found_weights
from trainables.core.device import FASTER_IN_BFLOAT16, multiplies_bfloat16, pick_device, precision_used
from trainables.core.errors import BadInput
from trainables.core.metrics import from_confusion
from trainables.core.object_path import ObjectPath
from trainables.core.storage_path import StoragePath
from trainables.core.url_secrets import shown_address
from trainables.data import DataSummary, prepare
from trainables.methods.boundary_shift import excessive
from trainables.methods.registry import build_params, method_named
from trainables.training.tuned_backbone import check_tuning, tuning_key

_CONNECT_SECONDS = 10.0


def check_data(spec: StudySpec, cells: list[Cell], console: Console, *, source: str) -> dict[str, str]:
    """Read, decode and cache the data of every cell, so that no trial fails on a broken file.

    Args:
        spec: the study; its network must accept the images.
        cells: the cells; cells with the same data set and profile share their data.
        console: prints the number of images of every profile and what serves as test split; warns of excessive
            margins.
        source: the study file's name, for messages.

    Returns:
        ``dataset/profile`` -> fingerprint of the selected images and labels.

    Raises:
        BadInput: a data set is missing or damaged, a class has no images, images are too small, or the network lacks
            what a method tunes.
    """
    fingerprints: dict[str, str] = {}
    ratios: dict[str, float] = {}
    said: set[str] = set()
    tuned: set[object] = set()
    for cell in cells:
        place = f"{cell.dataset}/{cell.profile}"
        if place in fingerprints:
            continue
        there = [other for other in cells if f"{other.dataset}/{other.profile}" == place]
        summary = _summary(spec, there, source, tuned)
        for metric in spec.search.recorded:
            where = "metric" if metric in spec.search.metrics else f"constraints.{metric}"
            _check_metric(metric, summary, f"{source}: search.{where}", place)
        fingerprints[place] = summary.fingerprint
        counts = summary.class_counts
        ratios[place] = max(counts) / min(counts)
        console.print(
            f"  {place}: {sum(counts)} images to train on, {max(counts)} in the largest class and "
            f"{min(counts)} in the smallest; {summary.validation_size} to validate",
            highlight=False,
        )
        if summary.other_test is not None and cell.dataset not in said:
            said.add(cell.dataset)
            console.print(f"  {cell.dataset}: {summary.other_test.said}", highlight=False, markup=False)
    for cell in cells:
        warning = boundary_warning(cell, ratios[f"{cell.dataset}/{cell.profile}"])
        if warning is not None:
            console.print(f"  {warning}", style="yellow", highlight=False)
    if (note := random_weights_note(spec)) is not None:
        console.print(f"  warning: {note}", style="yellow", highlight=False, markup=False)
    return fingerprints


def boundary_warning(cell: Cell, ratio: float) -> str | None:
    """Return a warning if the setting of a cell's trial 0 moves a boundary by more than twice log(ratio).

    Args:
        cell: the cell.
        ratio: largest over smallest class count of its training images.
    """
    method = method_named(cell.base.method.name)
    if method.boundary_shift is None:
        return None
    shift = method.boundary_shift(build_params(cell.base.method), ratio)
    if not excessive(shift, ratio):
        return None
    setting = f"preset `{cell.base.method.preset}`" + (
        " with the params set by hand" if cell.base.method.params else ""
    )
    return (
        f"warning: {cell.name}: {setting} moves the boundary between the largest and the smallest class by "
        f"{shift:.1f} nats, more than twice log({ratio:.4g}) = {math.log(ratio):.1f}: smaller margins may fit better "
        f"(docs/methods.md, margins and the ratio)"
    )


def _summary(spec: StudySpec, cells: list[Cell], source: str, tuned: set[object]) -> DataSummary:
    """Read the data that some cells share, and check that the network takes it and every method can tune it.

    Args:
        spec: the study.
        cells: the cells.
        source: the study file's name, for messages.
        tuned: tunings that were checked before; those checked here are added.
    """
    cell = cells[0]
    place = next(f"data[{i}]" for i, data in enumerate(spec.data) if cell.base.data in data.configs())
    try:
        summary = prepare(cell.base.data)
    except BadInput as error:
        raise BadInput(f"{source}: {place}: {error}") from None
    shape = check_image_settings(spec, cell.base.data.dataset, summary.image_shape, source=source)
    channels, height, _ = shape
    for each in cells:
        key = (tuning_key(each.base), shape, len(summary.class_counts))
        if key in tuned:
            continue
        tuned.add(key)
        try:
            check_tuning(each.base, torch.tensor(summary.class_counts), shape)
        except BadInput as error:
            raise BadInput(f"{source}: methods: {error}") from None
    if spec.model.weights is not None:
        try:
            check_weights(spec.model.name, channels, height, Path(spec.model.weights), spec.model.options)
        except BadInput as error:
            raise BadInput(f"{source}: model: {error}") from None
    if spec.training.layer_decay < 1 or "layer_decay" in spec.search.training:
        try:
            check_layer_order(spec.model.name, channels, height, spec.model.options)
        except BadInput as error:
            raise BadInput(f"{source}: training: {error}") from None
    return summary


def with_weights(spec: StudySpec, console: Console, *, source: str) -> StudySpec:
    """Return a study with the file of its network's weights in place of ``weights: timm``.

    The driver finds or downloads them before anything trains; the path is stored with the study, and its content is
    part of every fingerprint.

    Args:
        spec: the study.
        console: is told of a download before it starts.
        source: the study file's name, for messages.

    Raises:
        BadInput: the weights are neither in a cache nor to be had.
    """
    say = partial(console.print, style="yellow", highlight=False, markup=False)
    try:
        return spec.model_copy(update={"model": with_found_weights(spec.model, say)})
    except BadInput as error:
        raise BadInput(f"{source}: model: {error}") from None


def _check_metric(metric: str, summary: DataSummary, where: str, place: str) -> None:
    """Refuse a metric over an empty group of classes, such as ``few`` where every class has many images."""
    faultless = np.eye(len(summary.class_counts), dtype=np.int64)
    if math.isnan(from_confusion(faultless, summary.class_counts).get(metric, 0.0)):
        raise BadInput(f"{where}: '{metric}' is undefined on {place}, whose classes have {summary.class_counts} images")


def precision_note(spec: StudySpec) -> str | None:
    """Return a hint if this machine would train faster in bfloat16 than the study does, else None."""
    device = pick_device()
    if precision_used(spec.training.precision, device) != "float32" or not multiplies_bfloat16(device):
        return None
    return f"trials train in float32; {FASTER_IN_BFLOAT16}"


def precision_change_note(spec: StudySpec, trials: Iterable[TrialView]) -> str | None:
    """Return a warning if this machine trains in another precision than a stored study's trials so far, else None.

    Args:
        spec: the study.
        trials: its trials so far.
    """
    named = (found[0] for trial in trials if (found := trial.trained_in()) is not None)
    before = {precision for names in named for precision in names.split(", ")}
    now = precision_used(spec.training.precision, pick_device())
    if not before - {now}:
        return None
    return (
        f"this machine trains in {now}, trials so far were trained in {' and '.join(sorted(before))}: "
        f"their results differ by rounding, and `study show {spec.name}` will say so"
    )


def check_resources(resources: ResourcesSpec, address: str | None) -> None:
    """Check that this machine can run one trial. A cluster is not checked: it may grow.

    Raises:
        BadInput: a trial requests more processors or GPUs than the machine has.
    """
    if address is not None:
        return
    cpus = os.cpu_count() or 1
    if resources.cpus > cpus:
        raise BadInput(f"resources.cpus: a trial asks for {resources.cpus}, this machine has {cpus}")
    if resources.cpus * resources.workers > cpus:
        raise BadInput(
            f"resources.workers: the {resources.workers} workers of a trial ask for "
            f"{resources.cpus * resources.workers} processors, this machine has {cpus}"
        )
    if resources.gpus > 0:
        import torch

        gpus = torch.cuda.device_count()
        if resources.gpus <= gpus < math.ceil(resources.gpus) * resources.workers:
            raise BadInput(
                f"resources.workers: each of the {resources.workers} workers of a trial needs a GPU of its own, this "
                f"machine has {gpus}"
            )
        if resources.gpus > gpus:
            raise BadInput(
                f"resources.gpus: a trial asks for {resources.gpus:g}, this machine has {gpus}; "
                f"--set resources.gpus=0 trains on the processor"
            )


def checked_cluster(address: str | None) -> str | None:
    """Return a cluster's address, found where it is ``auto``, if Ray's head answers there.

    Ray would wait for minutes, and not end on SIGTERM.

    Raises:
        BadInput: no head answers, the address has no port or is a job server's, ``auto`` means no Ray or several, or
            Ray would send a cluster token that is none, or lacks one.
    """
    if address is None or address == "local":
        return address
    if os.environ.get("RAY_AUTH_MODE") == "token" and token() is None:
        raise BadInput(NO_TOKEN)
    if address == "auto":
        address = found_address()
    if address.startswith(("http://", "https://")):
        raise BadInput(
            "--address: must be auto or host:port of the cluster's head, for example 10.0.0.1:6379, got "
            f"{shown_address(address)}: that is the address of a job server, which takes studies from `study submit`"
        )
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        if parts.hostname is None or parts.port is None or "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError
        socket.create_connection((parts.hostname, parts.port), timeout=_CONNECT_SECONDS).close()
    except ValueError:
        raise BadInput(
            f"--address: must be auto or host:port, for example 10.0.0.1:6379, got {shown_address(address)}"
        ) from None
    except OSError as error:
        raise BadInput(f"--address {address}: no Ray cluster answers there ({error.strerror or error})") from None
    if (why := why_no_head(address)) is not None:
        raise BadInput(f"--address {address}: no Ray cluster can be joined there ({why})")
    return address


def check_places(records: RecordsSpec, storage: StoragePath) -> None:
    """Check that object storage can be written, the ledger's database opens and MLflow can write to the tracking URI.

    A tracking server is not contacted: a study runs without it and is recorded once the server is available.

    Raises:
        BadInput: the storage cannot be used, or not with this ledger, the database cannot be opened, or the tracking
            URI names a folder instead of a server or a file.
    """
    check_ledger(storage, records.ledger)
    if isinstance(storage, ObjectPath):
        storage.check(writing=True)
    tracking_uri(records.tracking_uri, storage)
    if records.ledger is not None:
        open_storage(storage, records.ledger)
