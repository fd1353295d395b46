from __future__ import annotations

from pathlib import Path

import pytest

from trainables.core.errors import BadInput, shown
from trainables.core.url_secrets import from_environment, hidden, holds_secret, masked, revealed


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
