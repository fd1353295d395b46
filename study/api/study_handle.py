"""A study as a Python object: start it, resume it, read what it found."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.api.array_data import study_mapping
from study.api.driver_process import drive
from study.api.trained_trial import Trial
from study.driver.dry_checks import check_without_data
from study.spec.ready_studies import study_file
from study.spec.validation import checked_spec, load_spec
from study.spec.yaml_io import write_yaml
from study.store.study_folder import StudyFolder, storage_root
from study.store.study_view import CellView, StudyView, open_view
from trainables.core.errors import BadInput, unknown_name

if TYPE_CHECKING:
    import pandas as pd

    from study.spec.study_spec import StudySpec


class Study:
    """A study, stored or yet to start.

    Results are read from the storage at every call, so that a running study shows what it has so far.
    """

    def __init__(self, name: str, storage: str | Path | None = None) -> None:
        """Take a study by name; it need not be stored yet.

        Args:
            name: of the study.
            storage: the place of all studies; None is the environment variable STUDY_STORAGE, else ``runs``.

        Raises:
            BadInput: a name that no study can have, or a storage that cannot be read.
        """
        self._folder = StudyFolder(storage_root(storage), name)
        self._given: dict[str, Any] | None = None
        self._file: Path | None = None
        self._overrides: tuple[str, ...] = ()
        self._data_dir: Path | None = None

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        overrides: Mapping[str, Any] | None = None,
        storage: str | Path | None = None,
        data_dir: str | Path | None = None,
    ) -> Study:
        """Read and check a study file, as ``study check`` does.

        Args:
            path: the YAML file, or the name of a ready study, such as ``quickstart``.
            overrides: values that replace the file's, by path: ``{"search.trials": 8}``.
            storage: as for `Study`.
            data_dir: folder of data sets; None is the environment variable STUDY_DATA_DIR.

        Raises:
            BadInput: all faults of the file, one per line; or an unknown data set, images that the network cannot take,
                or a network without what a method tunes.
        """
        changes = tuple(_override(name, value) for name, value in (overrides or {}).items())
        file = study_file(path)
        folder = None if data_dir is None else Path(data_dir)
        spec = load_spec(file, changes)
        made = cls(spec.name, storage)
        made._file, made._overrides, made._data_dir = file, changes, folder
        made._check(spec, str(file))
        return made

    @classmethod
    def from_dict(
        cls, given: Mapping[str, Any], *, storage: str | Path | None = None, data_dir: str | Path | None = None
    ) -> Study:
        """Check a study that is given as the mapping that its file would hold.

        A ``dataset`` may also be what `from_arrays` returns.

        Raises:
            BadInput: all faults of the mapping, one per line; or what `from_file` finds in names and sizes.
        """
        plain = study_mapping(given)
        folder = None if data_dir is None else Path(data_dir)
        spec = checked_spec(plain, (), source="the study", folder=Path())
        made = cls(spec.name, storage)
        made._given, made._data_dir = plain, folder
        made._check(spec, "the study")
        return made

    def _check(self, spec: StudySpec, source: str) -> None:
        """Check a study that is yet to start; a stored one may be read where its data are not."""
        if not self._folder.spec_path.exists():
            check_without_data(spec, self._data_dir, source)

    def __repr__(self) -> str:
        """Return name and storage."""
        return f"Study({self.name!r}, storage={str(self._folder.storage)!r})"

    @property
    def name(self) -> str:
        """The study's name."""
        return self._folder.name

    @property
    def spec(self) -> StudySpec:
        """The checked study with all its defaults: as stored, else as given."""
        if self._folder.spec_path.exists():
            return self._folder.read_spec()
        if self._file is not None:
            return load_spec(self._file, self._overrides)
        if self._given is not None:
            return checked_spec(dict(self._given), (), source="the study", folder=Path())
        return self._folder.read_spec()  # says that there is none

    @property
    def state(self) -> str:
        """``new``, ``running``, ``interrupted`` or ``finished``."""
        return self._view().state if self._folder.spec_path.exists() else "new"

    def run(self, *, address: str | None = None, quiet: bool = False) -> Study:
        """Start the study and wait until it ends; the output is that of ``study run``.

        Ray, signal handlers and restarts belong to a process of its own. An interrupt stops it cleanly.

        Args:
            address: of a running Ray cluster; None starts Ray on this machine.
            quiet: print nothing.

        Returns:
            The study itself.

        Raises:
            BadInput: the study is stored already, or study, data or storage are invalid.
            KeyboardInterrupt: it was interrupted; `resume` continues it.
        """
        with self._study_file() as path:
            changes = [word for override in self._overrides for word in ("--set", override)]
            drive(["run", str(path), *self._where(address), *changes], quiet=quiet)
        return self

    def resume(
        self, overrides: Mapping[str, Any] | None = None, *, address: str | None = None, quiet: bool = False
    ) -> Study:
        """Continue the stored study, perhaps with a larger budget: ``{"search.trials": 40}``.

        Returns:
            The study itself.

        Raises:
            BadInput: it is not stored, or a change would mix trials that cannot be compared.
            KeyboardInterrupt: it was interrupted.
        """
        changes = [word for name, value in (overrides or {}).items() for word in ("--set", _override(name, value))]
        drive(["resume", self.name, *self._where(address), *changes], quiet=quiet)
        return self

    def status(self) -> pd.DataFrame:
        """Return one row per cell: trials by state, best value, epochs; ``attrs["state"]`` is the study's state.

        Raises:
            BadInput: no such study.
        """
        from study.api.data_frames import status_frame
        from study.report.status import status_of

        return status_frame(status_of(self._folder.storage, self.name))

    def trials(self, *, epochs: bool = False) -> pd.DataFrame:
        """Return one row per trial, of search and confirmation (docs/export.md describes the columns).

        Args:
            epochs: return one row per trial and epoch instead.

        Raises:
            BadInput: no such study.
        """
        from study.api.data_frames import epoch_frame, trial_frame

        return epoch_frame(self._view()) if epochs else trial_frame(self._view())

    def confirmed(self, *, metric: str | None = None, baseline: str | None = None) -> pd.DataFrame:
        """Return one row per confirmed setting: mean over seeds on the test images, and paired t tests.

        Args:
            metric: None is the study's.
            baseline: label of the method to test against; None is ERM.

        Raises:
            BadInput: no such study, metric or method, or the study confirms nothing.
        """
        from study.api.data_frames import confirmed_frame

        return confirmed_frame(self._view(), metric, baseline)

    def recall(self) -> pd.DataFrame:
        """Return one row per trial, set of images (``on``) and class: recall, images, predictions.

        Raises:
            BadInput: no such study.
        """
        from study.api.data_frames import class_frame

        return class_frame(self._view())

    def responses(self) -> pd.DataFrame:
        """Return what the best setting of every method is expected to reach at ratios from the smallest to the largest.

        It has one row per data set, kind of profile, method and ratio (docs/export.md describes the columns); none for
        a study of a single ratio, or with fewer than eight complete trials of a method.

        Raises:
            BadInput: no such study.
        """
        from study.api.data_frames import response_frame

        return response_frame(self._view())

    def best(self, cell: str | None = None) -> Trial:
        """Return the best complete trial of a cell, by the study's first metric.

        Args:
            cell: its name, as in `status`, or a part that only one cell's name has: ``"cce"``. None needs a study of
                one cell.

        Returns:
            The trial, with the trials that confirm its setting as ``confirmations``.

        Raises:
            BadInput: no such study or cell, several cells fit, or the cell has no complete trial yet.
        """
        view = self._view()
        chosen = _cell(view, cell)
        best = chosen.best()
        if best is None:
            raise BadInput(f"{chosen.cell.name}: has no complete trial yet")
        settings = [setting for setting in chosen.settings(view.spec) if setting.params == best.params]
        confirming = [trial for setting in settings for trial in chosen.confirmed(setting)]
        return Trial(best, tuple(Trial(trial) for trial in confirming))

    def report(
        self, html: str | Path | None = None, *, figures: str | Path | None = None, metric: str | None = None
    ) -> list[Path]:
        """Write the study's page, as ``study report --html`` does.

        Args:
            html: the page; None is ``NAME.html`` in the current folder unless ``figures`` is given.
            figures: folder for the pictures as SVG and PDF.
            metric: None is the study's.

        Returns:
            The written files.

        Raises:
            BadInput: no such study or metric, or a file cannot be written.
        """
        from study.report.html.page import write_page

        page = Path(f"{self.name}.html") if html is None and figures is None else html
        return write_page(
            self._view(),
            html=None if page is None else Path(page),
            figures=None if figures is None else Path(figures),
            metric=metric,
            baseline=None,
        )

    def _view(self) -> StudyView:
        return open_view(self._folder)

    def _where(self, address: str | None) -> list[str]:
        data = [] if self._data_dir is None else ["--data-dir", str(self._data_dir)]
        return ["--storage", str(self._folder.storage), *data, *([] if address is None else ["--address", address])]

    @contextmanager
    def _study_file(self) -> Iterator[Path]:
        """Give the study file to start from; one made of a mapping lies in a temporary folder."""
        if self._file is not None:
            yield self._file
            return
        if self._given is None:
            raise BadInput(
                f"study '{self.name}' was given by name: resume() continues it; from_file() starts a new one"
            )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{self.name}.yaml"
            path.write_text(write_yaml(self._given), encoding="utf-8")
            yield path


def _cell(view: StudyView, name: str | None) -> CellView:
    names = [cell.cell.name for cell in view.cells]
    found = [cell for cell in view.cells if cell.cell.name == name]
    if not found:
        found = [cell for cell in view.cells if name is None or name in cell.cell.name]
    if not found:
        raise unknown_name(f"cell of study '{view.spec.name}':", str(name), names)
    if len(found) > 1:
        fitting = ", ".join(cell.cell.name for cell in found)
        raise BadInput(f"study '{view.spec.name}': name one cell of {fitting}")
    return found[0]


def _override(path: str, value: Any) -> str:
    """Return an override as the command takes it: ``path=value``, the value in YAML on one line."""
    return f"{path}={value if isinstance(value, str) else json.dumps(value)}"
