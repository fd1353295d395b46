"""Places of a study's ledger and records that its file leaves open: the environment names them."""

from __future__ import annotations

import os

from study.spec.study_spec import StudySpec
from trainables.core.errors import BadInput
from trainables.core.url_secrets import from_environment, holds_secret, revealed

LEDGER, TRACKING_URI = "STUDY_LEDGER", "STUDY_TRACKING_URI"
_VARIABLES = {"ledger": LEDGER, "tracking_uri": TRACKING_URI}
_ADVICE = {
    "ledger": f"{LEDGER}, the file of {LEDGER}_FILE, or with PostgreSQL in PGPASSWORD or ~/.pgpass",
    "tracking_uri": "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
}


def with_places(spec: StudySpec) -> StudySpec:
    """Return a study with the ledger and the tracking server of the environment where its file names none.

    They are stored with the study, without passwords, so that a resume uses the same ones.

    Raises:
        BadInput: a variable holds no such URL, or names a file that cannot be read.
    """
    try:
        named = {
            field: from_environment(variable)
            for field, variable in _VARIABLES.items()
            if getattr(spec.records, field) is None
        }
    except ValueError as error:
        raise BadInput(str(error)) from None
    found = {field: url for field, url in named.items() if url is not None}
    return spec.model_copy(update={"records": spec.records.model_copy(update=found)}) if found else spec


def password_notes(spec: StudySpec) -> list[str]:
    """Return what to say of the passwords that a study's URLs held: they are not stored."""
    notes = []
    for field, variable in _VARIABLES.items():
        url = getattr(spec.records, field)
        if url is not None and holds_secret(url) and from_environment(variable) != url:
            notes.append(
                f"records.{field}: the password in this URL is used now but never stored; a resume needs it again. "
                f"Better leave it out of the URL and give it in {_ADVICE[field]}"
            )
    return notes


def keep_passwords(spec: StudySpec) -> None:
    """Put the URLs with the passwords that this process knows into its environment, for a process that replaces it."""
    for field, variable in _VARIABLES.items():
        url = getattr(spec.records, field)
        if url is not None and holds_secret(url):
            os.environ[variable] = revealed(url)
