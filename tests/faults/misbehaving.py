"""Makes trials of a real study misbehave, in the workers of Ray: a `sitecustomize` on the workers' path."""

from __future__ import annotations

from pathlib import Path

_HOOK = """
import importlib.abc, importlib.machinery, sys


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "trainables.training.trainer":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            whole = module.Trainer.run_epoch

            def run_epoch(self, on_step=None):
                misbehave(self)
                return whole(self, on_step)

            module.Trainer.run_epoch = run_epoch

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, _Finder())
"""


def write_hook(folder: Path, misbehaviour: str) -> Path:
    """Write a module that runs before every epoch of every training; return the folder for ``PYTHONPATH``.

    Args:
        folder: an empty folder.
        misbehaviour: the source of a function ``misbehave(trainer)``.
    """
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(misbehaviour + _HOOK)
    return folder
