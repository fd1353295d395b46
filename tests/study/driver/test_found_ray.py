"""Which Ray `--address auto` means, on machines with none, one and several."""

from __future__ import annotations

from dataclasses import dataclass, field

import psutil
import pytest

from study.driver.found_ray import found_address
from study.driver.preflight import checked_cluster
from trainables.core.errors import BadInput


@dataclass
class Process:
    """A process as psutil shows it."""

    words: list[str]
    program: str = "raylet"
    above: list[str] = field(default_factory=lambda: ["/sbin/init"])

    def name(self) -> str:
        if self.program == "hidden":
            raise psutil.AccessDenied
        return self.program

    def parent(self) -> Process:
        return Process(self.above, "python")

    def cmdline(self) -> list[str]:
        return self.words

    def username(self) -> str:
        return "me"

    def create_time(self) -> float:
        return 0.0


HEAD = Process(["raylet", "--node_ip_address=10.0.0.1", "--gcs-address=10.0.0.1:6379"])
OTHER = Process(["raylet", "--gcs-address=10.0.0.1:6399"])
OF_A_STUDY = Process(["raylet", "--gcs-address=10.0.0.1:7777"], above=["python", "-m", "study.driver.ray_keeper"])
NO_RAYLET = Process(["agent.py", "--gcs-address=10.0.0.1:8888"], "python")
HIDDEN = Process([], "hidden")


@pytest.fixture(autouse=True)
def _no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def _run(monkeypatch: pytest.MonkeyPatch, *processes: Process) -> None:
    monkeypatch.setattr("study.driver.found_ray.psutil.process_iter", lambda: iter(processes))


def test_the_only_cluster_is_found_also_with_two_nodes_here(monkeypatch: pytest.MonkeyPatch) -> None:
    _run(monkeypatch, NO_RAYLET, HIDDEN, OF_A_STUDY, HEAD, HEAD)
    assert found_address() == "10.0.0.1:6379"


def test_several_are_listed_and_none_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    _run(monkeypatch, HEAD, OTHER, OF_A_STUDY)
    with pytest.raises(BadInput) as caught:
        checked_cluster("auto")
    said = str(caught.value)
    assert said.startswith("--address auto: 2 Rays run on this machine: 10.0.0.1:6379 (of me, since 19")
    assert "10.0.0.1:6399" in said and "7777" not in said
    assert said.endswith("name one of them, for example --address 10.0.0.1:6379, or set RAY_ADDRESS")


def test_none_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _run(monkeypatch, OF_A_STUDY)
    with pytest.raises(BadInput, match=r"^--address auto: no Ray runs on this machine; start it with `ray start`"):
        checked_cluster("auto")


def test_ray_address_names_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    _run(monkeypatch, HEAD, OTHER)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.9:6379")
    assert found_address() == "10.0.0.9:6379"
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(BadInput, match="2 Rays"):
        found_address()
