"""Passwords in URLs: kept in this process's memory only, and masked in every text that is shown."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from trainables.core.secret_file import read_secret_file

MASK = "***"
_SHORTEST = 4
"""Characters from which on a password is masked wherever it stands; shorter ones would mask parts of words."""

_SECRET_NAME = r"(?!passfile=)[\w.-]*(?:pass|pwd|secret|token|api_?key|credential)[\w.-]*"
_IN_QUERY = re.compile(rf"(?i)([?&;](?:{_SECRET_NAME}|options)=)[^&;\s'\"]+")
_IN_VALUE = re.compile(rf"(?i)(?:^|[^\w.-])(?:[\w.-]+\.)?{_SECRET_NAME}\s*=\s*(\S*)")
"""A param within the value of another, such as ``options=-c password=...``."""
_OF_A_CONNECTION = re.compile(rf"(?i)(?:^|[\s;,])(?:host|hostaddr|user|dbname|service|{_SECRET_NAME})\s*=")
"""A word of a connection string that is no URL, such as ``host=db password=...``."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HOST = r"[^\s:/@?#\[\]'\"]*"
_BEFORE_AT = re.compile(rf"([A-Za-z][A-Za-z0-9+.-]*://{_HOST}:)\S+(?=@)")
_USER_ALONE = re.compile(rf"(https?://){_HOST}[^\s:/@?#\[\]'\"](?=@)")
_NO_PORT = re.compile(
    rf"([A-Za-z][A-Za-z0-9+.-]*://{_HOST}[^\s:/@?#\[\]'\"]:)(?!\d+(?:[^\w]|$)|\*\*\*|(?i:port)\b)[^\s@/?#'\"]+"
)
_SCHEMES_WITHOUT_PORT = ("databricks",)

_full: dict[str, str] = {}
"""URL without its secrets -> the same with them."""
_secrets: set[str] = set()


def hidden(url: str) -> str:
    """Return a URL without its password, and remember the password for `revealed`.

    Secrets are the password before the ``@``, a name without a password before the ``@`` of an HTTP address, and the
    values of params such as ``password``, ``sslpassword`` and ``token``, also within the value of another param, as in
    ``options=-c%20password%3D...``. What is no URL is returned unchanged.

    Raises:
        ValueError: where the password ends cannot be told; the message does not show the URL.

    >>> hidden("postgresql://me:very-secret@host/db?sslmode=require&password=other-secret")
    'postgresql://me@host/db?sslmode=require'
    >>> masked("at very-secret, other-secret, https://user:word@host/x?token=abc&a=1")
    'at ***, ***, https://user:***@host/x?token=***&a=1'
    """
    scheme, colon, rest = url.partition("://")
    if not colon:
        return url
    before, at, after = rest.rpartition("@")
    user, colon, password = before.partition(":")
    if not at or set(user) & set("/?#"):  # no user: a path such as that of sqlite:///a@b.db
        user, at, password, after = "", "", "", rest
    if "@" in before and at:
        raise ValueError("holds several '@'; one in a user name or password is written %40")
    if at and not colon and scheme.lower() in ("http", "https"):
        user, password = "", user
    plain, _, query = after.partition("?")
    params = [part for part in query.split("&") if part]
    kept = [part for part in params if not _is_secret(part)]
    found = [part.partition("=")[2] for part in params if part not in kept] + ([password] if password else [])
    found += [inner for part in params for inner in _IN_VALUE.findall(_value(part))]
    _secrets.update(text for secret in found for text in (secret, unquote(secret)) if len(text) >= _SHORTEST)
    if scheme.lower() not in _SCHEMES_WITHOUT_PORT:
        _check_port(re.split(r"[/#]", plain)[0])
    bare = f"{scheme}://{user}{'@' if user else ''}{plain}{'?' if kept else ''}{'&'.join(kept)}"
    if not found:
        return url
    _full[bare] = url
    return bare


def _is_secret(param: str) -> bool:
    return bool(re.fullmatch(rf"(?i){_SECRET_NAME}=.*", param) or _IN_VALUE.search(_value(param)))


def _value(param: str) -> str:
    return unquote(param.partition("=")[2].replace("+", " "))


def hidden_ledger(url: str) -> str:
    """Return the URL of a ledger's database without its password, as in `hidden`.

    Raises:
        ValueError: as in `hidden`, or it is no URL, such as PostgreSQL's ``host=... password=...``; the message does
            not show it.

    >>> hidden_ledger("host=db user=me dbname=x")
    Traceback (most recent call last):
    ValueError: must be postgresql+psycopg://USER@HOST/DATABASE or sqlite:////FILE (docs/study-file.md says where the \
password belongs)
    """
    scheme = _SCHEME.match(url)
    if scheme is None or _OF_A_CONNECTION.search(url[scheme.end() :].partition("?")[0]):
        raise ValueError(
            "must be postgresql+psycopg://USER@HOST/DATABASE or sqlite:////FILE (docs/study-file.md says where the "
            "password belongs)"
        )
    return hidden(url)


def hidden_tracking(uri: str) -> str:
    """Return a tracking URI without its password, as in `hidden`; the path of a file is returned unchanged.

    Raises:
        ValueError: as in `hidden`, or it looks like an address and has no scheme; the message does not show it.

    >>> hidden_tracking("records/mine.db"), hidden_tracking("./a@b.db")
    ('records/mine.db', './a@b.db')
    >>> hidden_tracking("me:password@host:5000")
    Traceback (most recent call last):
    ValueError: has no scheme; a server is written http://HOST:PORT, a file ./NAME or /NAME
    """
    if _SCHEME.match(uri):
        return hidden(uri)
    path = uri.removeprefix("file:")
    is_path = re.match(r"\.{0,2}/(?!/)", path) is not None
    is_address = "@" in path or ":" in path.split("/")[0] or path.startswith("//")
    if (is_address and not is_path) or _OF_A_CONNECTION.search(path):
        raise ValueError("has no scheme; a server is written http://HOST:PORT, a file ./NAME or /NAME")
    return uri


def _check_port(host: str) -> None:
    port = re.fullmatch(r"(?:\[[^\]]*\]|[^:]*)(?::(.*))?", host)
    if port is None or not (port[1] or "0").isdecimal():
        raise ValueError("has no number as its port; it must be scheme://user@host:port/database")


def revealed(url: str, *variables: str) -> str:
    """Return a URL with the password that belongs to it, if one is known.

    Args:
        url: as `hidden` returned it.
        variables: environment variables that may hold the whole URL, as in `from_environment`.
    """
    for variable in variables:
        from_environment(variable)
    return _full.get(url, url)


def from_environment(variable: str) -> str | None:
    """Return the URL in an environment variable, or in the file that ``<variable>_FILE`` names, without its password.

    Raises:
        ValueError: as in `hidden_ledger` or `hidden_tracking`, or the file cannot be read, is no regular file or larger
            than 64 KiB; the message names the variable.
    """
    url, file = os.environ.get(variable), os.environ.get(f"{variable}_FILE")
    named = variable
    if not url and file:
        named = f"{variable}_FILE"
        try:
            url = read_secret_file(Path(file))
        except (OSError, ValueError) as error:
            raise ValueError(f"{named} names {file}: {getattr(error, 'strerror', None) or error}") from None
    try:
        without = hidden_ledger if variable == "STUDY_LEDGER" else hidden_tracking
        return without(url) if url else None
    except ValueError as error:
        raise ValueError(f"{named}: the URL {error}") from None


def holds_secret(url: str) -> bool:
    """Tell whether a password is known that was taken out of a URL."""
    return url in _full


def masked(text: str) -> str:
    """Return a text with ``***`` in place of every known password and of what looks like one in a URL.

    >>> masked("http://127.0.0.1:5000 and http://[::1]:5000/?a=1 are plain; postgresql://me:s3cr3t is not")
    'http://127.0.0.1:5000 and http://[::1]:5000/?a=1 are plain; postgresql://me:*** is not'
    """
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    text = _IN_QUERY.sub(rf"\g<1>{MASK}", text)
    if "://" not in text:
        return text
    text = _BEFORE_AT.sub(rf"\g<1>{MASK}", text)
    return _NO_PORT.sub(rf"\g<1>{MASK}", _USER_ALONE.sub(rf"\g<1>{MASK}", text))


def shown_address(address: str) -> str:
    """Return an address as an error quotes it, or a sentence in its place if it may hold a password.

    Shown are ``host``, ``host:port`` and ``http://host:port`` with a path, and nothing else: of what has another form
    nobody knows which part is the password.

    >>> shown_address("head:6379"), shown_address("http://head:8265/jobs"), shown_address("me:password@head:6379")
    ("'head:6379'", "'http://head:8265/jobs'", 'another text (not shown, it may hold a password)')
    """
    if re.fullmatch(r"(?:https?://)?(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d+)?(?:/[\w./-]*)?", address):
        return f"'{address}'"
    return "another text (not shown, it may hold a password)"
