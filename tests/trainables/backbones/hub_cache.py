"""A cache of Hugging Face without a network, for the tests."""

from __future__ import annotations

from pathlib import Path

import pytest


def empty_cache(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Let this process look into a new cache below a folder, and forbid downloads."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return folder / "hub"


def reach(monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    """Let this process ask a server in Hugging Face's place; the client reads its settings when it is imported."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server)
    template = server + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)


def cached(cache: Path, repository: str, content: Path) -> Path:
    """Put a file into a cache as the client does, and return its place."""
    place = cache / repository / "snapshots" / "0123abc" / "model.safetensors"
    place.parent.mkdir(parents=True)
    (cache / repository / "refs").mkdir()
    (cache / repository / "refs" / "main").write_text("0123abc")
    place.write_bytes(content.read_bytes())
    return place
