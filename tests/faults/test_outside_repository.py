"""A repository outside this one: its own loss, network and folder of images, on two Ray nodes, killed and resumed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from study.store.study_folder import StudyFolder
from study.store.study_view import open_view
from tests.study.spec.test_study_plugins import METHOD
from trainables.core.plugin_table import TABLES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NETWORK = '''"""My network."""
from trainables.backbones.architecture import Architecture


def build(in_channels, image_size):
    from torch import nn
    layers = [nn.Conv2d(in_channels, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers)


NETWORK = Architecture(name="my-net", features=32, build=build)
'''
STUDY = """name: outside
plugins: [./loss.py, ./network.py]
data:
  - {dataset: stripes, data_dir: DATA, validation_fraction: 0.3, profiles: [{kind: long_tail, ratio: 4}]}
methods: [mine, erm]
model: my-net
training: {epochs: 40, batch_size: 8, checkpoint_seconds: 0}
search: {trials: 3, concurrency: 2, pruner: none}
confirm: {seeds: 2}
resources: {cpus: 1}
"""


def _write_images(folder: Path) -> None:
    for split, count in (("train", 20), ("test", 6)):
        for label in range(3):
            place = folder / "stripes" / split / f"class{label}"
            place.mkdir(parents=True)
            for number in range(count):
                image = Image.new("L", (16, 16))
                image.putdata([(x * (label + 1) * 16 + number) % 256 for _ in range(16) for x in range(16)])
                image.save(place / f"{number}.png")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        nodes.add_node(num_cpus=1)
        yield str(nodes.address)
    finally:
        nodes.shutdown()
        for table in TABLES.values():
            table.forget_descriptions()


def test_own_loss_network_and_images_on_two_nodes_survive_a_kill(tmp_path: Path, cluster: str) -> None:
    repository, elsewhere, storage = (tmp_path / name for name in ("lab", "elsewhere", "runs"))
    repository.mkdir()
    elsewhere.mkdir()
    (repository / "loss.py").write_text(METHOD)
    (repository / "network.py").write_text(NETWORK)
    (repository / "study.yaml").write_text(STUDY.replace("DATA", str(tmp_path / "images")))
    _write_images(tmp_path / "images")
    environment = {**os.environ, "STUDY_CACHE_DIR": str(tmp_path / "cache")}

    def command(*words: str, cwd: Path) -> subprocess.Popen[str]:
        whole = [sys.executable, "-m", "study.cli.app", *words, "--storage", str(storage)]
        return subprocess.Popen(
            whole, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    running = command("run", "study.yaml", "--address", cluster, cwd=repository)
    deadline = time.monotonic() + 240
    while not list((storage / "outside" / "cells").rglob("epochs-*.jsonl")):
        assert running.poll() is None and time.monotonic() < deadline, running.communicate(timeout=60)[0]
        time.sleep(0.1)
    running.send_signal(signal.SIGKILL)
    running.wait()
    shutil.rmtree(repository)  # no node, and no resume, needs the user's folder

    resumed = command("resume", "outside", "--address", cluster, cwd=elsewhere)
    said = resumed.communicate(timeout=400)[0]
    assert resumed.returncode == 0, said
    report = command("report", "outside", cwd=elsewhere)
    table = report.communicate(timeout=100)[0]
    assert report.returncode == 0 and "mine" in table and "preset" in table, table

    view = open_view(StudyFolder(storage, "outside"))
    assert view.state == "finished"
    trials = [trial for cell in view.cells for trial in cell.all_trials]
    assert {trial.state for trial in trials} == {"COMPLETE"}
    assert len(trials) > 6
