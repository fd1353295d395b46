"""Names of Hugging Face data sets in study files: ``hf:owner/name@configuration?label=COLUMN``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from trainables.core.errors import BadInput, unknown_name

PREFIX = "hf:"
_OPTIONS = ("image", "label", "train", "test", "validation", "revision")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True)
class HfName:
    """A data set of the Hugging Face Hub, or a folder in one of its forms.

    Attributes:
        written: as the study file has it.
        repository: ``name`` or ``owner/name``; or a folder's path if it begins with ``/``, ``.`` or ``~``.
        configuration: None is the data set's only or default one.
        options: ``image`` and ``label`` (columns), ``train``, ``test`` and ``validation`` (splits), ``revision``.
    """

    written: str
    repository: str
    configuration: str | None
    options: dict[str, str]

    @property
    def is_path(self) -> bool:
        """True if the data set is named by a folder's path."""
        return self.repository.startswith(("/", ".", "~"))

    @property
    def label(self) -> str:
        """The name in cells: without owner and options, with the configuration."""
        short = self.repository.rstrip("/").rpartition("/")[2]
        return re.sub(r"[^\w.-]+", "-", short + (f"-{self.configuration}" if self.configuration else "")).strip("-.")


def is_hf(dataset: str) -> bool:
    """Return True if a data set's name is one of this form."""
    return dataset.startswith(PREFIX)


def hf_name(written: str) -> HfName:
    """Read a name.

    Raises:
        BadInput: it is not of this form.

    >>> hf_name("hf:uoft-cs/cifar100?label=fine_label").options
    {'label': 'fine_label'}
    >>> hf_name("hf:owner/name@small").label
    'name-small'
    """
    rest, _, query = written.removeprefix(PREFIX).partition("?")
    repository, _, configuration = rest.partition("@")
    found = HfName(written, repository, configuration or None, dict(parse_qsl(query, keep_blank_values=True)))
    form = "expected hf:NAME or hf:OWNER/NAME, then @CONFIGURATION and ?image=COLUMN&label=COLUMN where they are needed"
    if not found.is_path and not _NAME.fullmatch(repository):
        raise BadInput(f"data set '{written}': {form}; a folder is hf:/PATH or hf:./PATH")
    for key, value in found.options.items():
        if key not in _OPTIONS:
            raise BadInput(f"data set '{written}': {unknown_name('option', key, _OPTIONS)}")
        if not value:
            raise BadInput(f"data set '{written}': the option {key} is empty; {form}")
    return found
