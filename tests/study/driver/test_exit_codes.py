from __future__ import annotations

import subprocess
import sys

from study.driver.exit_codes import ExitCode


def test_exit_codes_are_the_documented_ones() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0,
        "SOME_FAILED": 1,
        "BAD_INPUT": 2,
        "INTERRUPTED": 130,
    }


def test_the_codes_are_known_before_anything_heavy_is_imported() -> None:
    heavy = "import sys, study.driver.exit_codes; print({'ray', 'torch', 'optuna', 'pandas'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout == "set()\n"
