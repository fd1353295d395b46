"""Options of `study train`: verification of pairs, a plot of features, initial weights from a file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from study.cli.app import main
from study.cli.feature_option import save_figure
from study.tracking.plots.embedding_plot import embedding_figure
from trainables.backbones import build_backbone
from trainables.core.errors import BadInput

Run = Callable[..., tuple[int, str, str]]
PLANE = ("--model", "affinity-conv-2d")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Train for two epochs and return exit code, output and errors."""

    def train(*words: str, method: str = "affinity") -> tuple[int, str, str]:
        short = ["--model", "mlp", "--ratio", "4", "--epochs", "2", "--lr", "0.03", "--precision", "float32"]
        monkeypatch.setattr(sys, "argv", ["study", "train", method, *short, *words])
        code = 0
        try:
            main()
        except SystemExit as exit:
            code = int(exit.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return train


def verification_line(out: str) -> str:
    (line,) = [line for line in out.splitlines() if line.startswith("verification")]
    return line


def test_drawn_pairs_are_verified(run: Run) -> None:
    code, out, _ = run("--verify", "600")
    assert code == 0
    line = verification_line(out)
    assert "(600 pairs in 10 folds)" in line and " +- " in line
    assert 0.5 < float(line.split()[2]) <= 1
    assert verification_line(run("--verify", "600")[1]) == line
    assert verification_line(run("--verify", "600", "--seed", "1")[1]) != line
    assert verification_line(run("--verify", "600", "--verify-on", "digits")[1]) == line  # all of test is reported


def test_pairs_of_a_file_are_verified(run: Run, tmp_path: Path) -> None:
    lines = ["2 10"]
    for fold in range(2):
        lines += [f"{k} {fold * 2 + 1} {fold * 2 + 2}" for k in range(10)]
        lines += [f"{k} {fold + 1} {(k + 1) % 10} {fold + 1}" for k in range(10)]
    (tmp_path / "pairs.txt").write_text("\n".join(lines))
    code, out, _ = run("--verify", str(tmp_path / "pairs.txt"))
    assert code == 0 and "(40 pairs in 2 folds)" in verification_line(out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--verify", "601"], "--verify 601: the number of pairs must be a multiple of 20"),
        (["--verify", "none.txt"], "pairs none.txt: cannot be read"),
        (["--verify-on", "digits"], "--verify-on needs --verify PAIRS.txt or --verify NUMBER"),
        (["--verify", "600", "--verify-on", "digitz"], "did you mean 'digits'"),
        ([*PLANE, "--plot-features", "x.gif"], "expected a file that ends in .png"),
        ([*PLANE, "--plot-features", "no/folder/x.png"], "there is no folder no/folder"),
        (["--weights", "none.pt"], "none.pt: cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_training(run: Run, words: list[str], said: str) -> None:
    code, out, err = run(*words)
    assert code == 2 and said in err and "epoch" not in out


def test_features_are_drawn(run: Run, tmp_path: Path) -> None:
    for method, words in (("affinity", []), ("erm", ["--test"])):
        path = tmp_path / f"{method}.png"
        code, out, _ = run(*PLANE, "--plot-features", str(path), *words, method=method)
        images = 355 if words else 140
        assert code == 0 and f"features of {images} images drawn in {path}" in out
        with Image.open(path) as picture:
            assert picture.width > 400 and len(picture.convert("RGB").getcolors(1 << 20) or []) > 50


def test_more_features_than_two_are_projected(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.training.embedding.has_umap", lambda: False)
    monkeypatch.setattr("study.cli.feature_option.has_umap", lambda: False)
    path = tmp_path / "x.png"
    code, out, _ = run("--plot-features", str(path), method="erm")
    assert code == 0 and "features of 140 images drawn in" in out
    assert out.count("umap-learn is not installed; pip install 'longtail-study[umap]'") == 1
    with Image.open(path) as picture:
        assert picture.width > 400 and len(picture.convert("RGB").getcolors(1 << 20) or []) > 50


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
@pytest.mark.parametrize("classes", [2, 15, 40])
def test_any_number_of_classes(tmp_path: Path, classes: int, ending: str) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(3 * classes) % classes
    names = {k: f"class {k} & $" for k in range(classes)}  # names are not parsed as mathematics
    figure = embedding_figure({"features": rng.normal(size=(3 * classes, 2))}, labels, names)
    save_figure(figure, tmp_path / f"x{ending}")
    assert (tmp_path / f"x{ending}").stat().st_size > 1000
    with pytest.raises(BadInput, match="cannot be written"):
        save_figure(figure, tmp_path / "no" / f"x{ending}")


def test_a_training_begins_from_a_file_and_is_told_apart(run: Run, tmp_path: Path) -> None:
    torch.manual_seed(3)
    torch.save(build_backbone("mlp", 1, 8).network.state_dict(), tmp_path / "w.pt")
    begun, plain = run("--weights", str(tmp_path / "w.pt"), "--output", str(tmp_path / "out")), run()
    assert begun[0] == plain[0] == 0 and begun[1] != plain[1]
    code, _, err = run("--output", str(tmp_path / "out"))
    assert code == 2 and "written by another configuration" in err
