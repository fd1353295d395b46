from __future__ import annotations

import os
from pathlib import Path

import pytest

from trainables.core.errors import BadInput, shown
from trainables.core.url_secrets import (
    from_environment,
    hidden,
    hidden_ledger,
    hidden_tracking,
    holds_secret,
    masked,
    revealed,
)


@pytest.mark.parametrize(
    ("url", "bare"),
    [
        ("postgresql+psycopg://me:hunter22@host:5432/study", "postgresql+psycopg://me@host:5432/study"),
        ("postgresql://me:hunter22@host/study?sslmode=require", "postgresql://me@host/study?sslmode=require"),
        ("postgresql:///study?host=/run&password=hunter22", "postgresql:///study?host=/run"),
        ("postgresql:///study?sslpassword=hunter22&user=me", "postgresql:///study?user=me"),
        ("postgresql://:hunter22@host/study", "postgresql://host/study"),
        ("mysql+pymysql://me:a%40b%2Fhunter22@[::1]:3306/x", "mysql+pymysql://me@[::1]:3306/x"),
        ("https://me:hunter22@mlflow.example.org/base", "https://me@mlflow.example.org/base"),
        ("https://hunter22@mlflow.example.org", "https://mlflow.example.org"),
        ("http://mlflow.example.org?access_token=hunter22", "http://mlflow.example.org"),
        ("postgresql://me@host/x?options=-c%20password%3Dhunter22", "postgresql://me@host/x"),
        ("postgresql://me:hunter/22@host/study", "postgresql://me@host/study"),  # as SQLAlchemy reads it
    ],
)
def test_a_password_is_taken_out_and_given_back(url: str, bare: str) -> None:
    assert hidden(url) == bare
    assert holds_secret(bare) and revealed(bare) == url
    password = "a@b/hunter22" if "%40" in url else "hunter/22" if "hunter/22" in url else "hunter22"
    assert masked(f"error at host: {password} was wrong") == "error at host: *** was wrong"
    assert "hunter" not in masked(f"error at {url}")


@pytest.mark.parametrize(
    "url",
    [
        "mine.db",
        "sqlite:////data/runs/a@b.db",
        "sqlite:///ledger of the head",
        "postgresql+psycopg:///study?host=/a b",
        "postgresql://me@host/study?passfile=/home/me/.pgpass&sslkey=/k",
        "http://127.0.0.1:5000",
        "http://[::1]:5000/base",
        "databricks://scope:prefix",
        "postgresql+psycopg://me@host/study?application_name=a",
    ],
)
def test_a_url_without_a_password_is_unchanged(url: str) -> None:
    assert hidden(url) == url and not holds_secret(url)
    assert masked(f"got '{url}'") == f"got '{url}'" or "scope" in url


@pytest.mark.parametrize(
    "url",
    ["postgresql://me:hun@ter33@host/study", "postgresql://me:hunter33", "postgresql://host:hunter33/study"],
)
def test_a_malformed_url_is_refused_and_never_shown(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        hidden(url)
    for text in (str(caught.value), masked(f"got '{url}'"), str(BadInput(f"got {url!r}")), shown(url)):
        assert "ter33" not in text, text


def test_a_password_of_a_url_that_failed_is_masked_in_other_words_of_a_library() -> None:
    hidden("postgresql://me:correct%20horse@host/study")
    assert masked('FATAL: password "correct horse" failed') == 'FATAL: password "***" failed'


def test_short_passwords_do_not_eat_words() -> None:
    hidden("postgresql://me:a@host/study")
    assert masked("a bad name at postgresql://me:a@host/study") == "a bad name at postgresql://me:***@host/study"


def test_the_environment_holds_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_LEDGER", "postgresql://me:from-variable@one/study")
    assert revealed("postgresql://me@one/study", "STUDY_LEDGER") == "postgresql://me:from-variable@one/study"
    assert revealed("postgresql://me@another/study", "STUDY_LEDGER") == "postgresql://me@another/study"
    monkeypatch.delenv("STUDY_LEDGER")
    file = tmp_path / "ledger"
    file.write_text("postgresql://me:from-file@two/study\n")
    monkeypatch.setenv("STUDY_LEDGER_FILE", str(file))
    assert from_environment("STUDY_LEDGER") == "postgresql://me@two/study"
    assert revealed("postgresql://me@two/study", "STUDY_LEDGER") == "postgresql://me:from-file@two/study"
    monkeypatch.setenv("STUDY_LEDGER_FILE", str(tmp_path / "missing"))
    with pytest.raises(ValueError, match=r"STUDY_LEDGER_FILE names .*missing: No such file"):
        from_environment("STUDY_LEDGER")


def test_a_malformed_url_of_the_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_LEDGER", "postgresql://me:hunter44")
    with pytest.raises(ValueError, match=r"^STUDY_LEDGER: the URL has no number as its port") as caught:
        from_environment("STUDY_LEDGER")
    assert "hunter44" not in str(caught.value)


def test_options_that_hold_no_password_stay_in_the_url_and_are_not_shown() -> None:
    url = "postgresql://me@host/x?options=-csearch_path%3Dmine"
    assert hidden(url) == url and masked(f"at {url}") == "at postgresql://me@host/x?options=***"


@pytest.mark.parametrize(
    "text",
    [
        "host=h user=me password=hunter55 dbname=x",
        "postgresql://host=h user=me password=hunter55",
        "me:hunter55@host/x",
        "postgresql:me:hunter55@host",
        "hunter55",
    ],
)
def test_a_ledger_that_is_no_url_is_refused_and_never_shown(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^must be postgresql\+psycopg://USER@HOST/DATABASE or sqlite:") as caught:
        hidden_ledger(text)
    assert "hunter55" not in str(caught.value)
    monkeypatch.setenv("STUDY_LEDGER", text)
    with pytest.raises(ValueError, match=r"^STUDY_LEDGER: the URL must be postgresql") as caught:
        from_environment("STUDY_LEDGER")
    assert "hunter55" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "me:hunter66@host:5000",
        "hunter66@host",
        "host:5000",
        "//me:hunter66@host",
        "http:/me:hunter66@host",
        "host=h password=hunter66",
        "a/b:hunter66@host",
        "file:me:hunter66@host",
    ],
)
def test_a_tracking_uri_without_its_scheme_is_refused_and_never_shown(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_TRACKING_URI", text)
    said = r"has no scheme; a server is written http://HOST:PORT, a file \./NAME or /NAME$"
    with pytest.raises(ValueError, match=f"^STUDY_TRACKING_URI: the URL {said}") as caught:
        from_environment("STUDY_TRACKING_URI")
    assert "hunter66" not in str(caught.value)


@pytest.mark.parametrize(
    "path", ["./a@b:1.db", "/data/user=me/a@b.db", "../x.db", "runs 2/mine.db", "mine.db", "file:x"]
)
def test_a_path_of_records_is_unchanged(path: str) -> None:
    assert hidden_tracking(path) == path


def test_only_a_small_file_is_read_for_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"a" * 70_000)
    (tmp_path / "binary").write_bytes(b"hunter77\xff")
    for file, said in (
        ("/dev/zero", "must be a regular file"),
        (tmp_path / "pipe", "must be a regular file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "large", "must hold at most 64 KiB"),
        (tmp_path / "binary", "must be text in UTF-8"),
    ):
        for variable in ("STUDY_LEDGER", "STUDY_TRACKING_URI"):
            monkeypatch.delenv(variable, raising=False)
            monkeypatch.setenv(f"{variable}_FILE", str(file))
            with pytest.raises(ValueError, match=rf"^{variable}_FILE names {file}: {said}"):
                from_environment(variable)
