"""A command that has trained a study ends with that study's exit code, whatever still runs or comes at its end."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

COMMAND = """
import os, signal, sys, threading, time
from pathlib import Path
from study.cli import app, run_commands
from study.driver import driver
from study.driver.interrupts import Interrupts
from study.store.study_folder import StudyFolder

def draw(begun):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    while True:
        figure = Figure(figsize=(12, 12))
        FigureCanvasAgg(figure)
        for k in range(200):
            figure.text(0.1, k / 200, f"the recorder draws {k}")
        begun.set()
        figure.canvas.draw()

def stand_in(spec, storage, *, console, **options):
    begun = threading.Event()
    with Interrupts(f"study {{}} {spec.name}".format, print):
        threading.Thread(target=draw, args=(begun,), name="records", daemon=True).start()
        begun.wait()
    BEFORE_THE_OUTCOME
    code = driver.ExitCode(CODE)
    return driver.Outcome(StudyFolder(storage, spec.name), code, "the study's own message", readable=False)

def end(code):
    AFTER_THE_LAST_LINE
    ended(code)

ended, app.end_process = app.end_process, end
driver.run = stand_in
sys.argv = ["study", "run", "quickstart", "--storage", sys.argv[1]]
app.main()
"""
SIGNAL = "os.kill(os.getpid(), signal.{})"


def _run(tmp_path: Path, code: int, before: str = "pass", after: str = "pass") -> tuple[int, str, str]:
    """Run the real command on a stand-in for the driver, whose recorder is inside matplotlib when the study is over."""
    text = COMMAND.replace("BEFORE_THE_OUTCOME", before).replace("AFTER_THE_LAST_LINE", after)
    done = subprocess.run(
        [sys.executable, "-c", text.replace("CODE", str(code)), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("code", [0, 130])
@pytest.mark.parametrize("number", [None, "SIGTERM", "SIGHUP"])
def test_its_code_stands_while_a_picture_is_drawn_and_after_a_signal(
    code: int, number: str | None, tmp_path: Path
) -> None:
    act = "pass" if number is None else SIGNAL.format(number)
    found, out, err = _run(tmp_path, code, before=act if code else "pass", after="pass" if code else act)
    assert (found, err) == (code, "")
    assert out.splitlines()[0] == "the study's own message"
    assert out.splitlines()[-1].startswith("Compare the runs in MLflow with: study ui")


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    act = f"{SIGNAL.format('SIGTERM')}; {SIGNAL.format('SIGTERM')}; time.sleep(100)"
    assert _run(tmp_path, 0, after=act)[::2] == (0, "")
    assert _run(tmp_path, 0, before=act) == (130, "", "")  # its outcome was not known yet


def test_a_signal_before_the_study_is_driven_is_an_interrupt(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom study.cli import app\nfrom study.spec import validation\n"
        f"validation.load_spec = lambda *_: {SIGNAL.format('SIGTERM')}\n"
        "sys.argv = ['study', 'run', 'quickstart']\napp.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    said = "interrupted before anything was trained\n"
    assert (done.returncode, done.stdout, done.stderr.count("Traceback")) == (130, said, 0)


def test_other_programs_keep_their_handlers() -> None:
    from study.driver.interrupts import Interrupts

    before = signal.getsignal(signal.SIGTERM)
    with Interrupts("study {} tiny".format, lambda _: None):
        pass
    assert signal.getsignal(signal.SIGTERM) is before
