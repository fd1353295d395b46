"""Passwords in URLs: kept in this process's memory only, and masked in every text that is shown."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

MASK = "***"
_SHORTEST = 4
"""Characters from which on a password is masked wherever it stands; shorter ones would mask parts of words."""

_SECRET_NAME = r"(?!passfile=)[\w.-]*(?:pass|pwd|secret|token|api_?key|credential)[\w.-]*"
_IN_QUERY = re.compile(rf"(?i)([?&;]{_SECRET_NAME}=)[^&;\s'\"]+")
_HOST = r"[^\s:/@?#\[\]'\"]*"
_BEFORE_AT = re.compile(rf"([A-Za-z][A-Za-z0-9+.-]*://{_HOST}:)\S+(?=@)")
_USER_ALONE = re.compile(rf"(https?://){_HOST}[^\s:/@?#\[\]'\"](?=@)")
_NO_PORT = re.compile(
    rf"([A-Za-z][A-Za-z0-9+.-]*://{_HOST}[^\s:/@?#\[\]'\"]:)(?!\d+(?:[^\w]|$)|\*\*\*|port\b)[^\s@/?#'\"]+"
)
_SCHEMES_WITHOUT_PORT = ("databricks",)

_full: dict[str, str] = {}
"""URL without its secrets -> the same with them."""
_secrets: set[str] = set()


def hidden(url: str) -> str:
    """Return a URL without its password, and remember the password for `revealed`.

    Secrets are the password before the ``@``, a name without a password before the ``@`` of an HTTP address, and the
    values of params such as ``password``, ``sslpassword`` and ``token``. What is no URL is returned unchanged.

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
    kept = [part for part in params if not re.fullmatch(rf"(?i){_SECRET_NAME}=.*", part)]
    found = [part.partition("=")[2] for part in params if part not in kept] + ([password] if password else [])
    _secrets.update(text for secret in found for text in (secret, unquote(secret)) if len(text) >= _SHORTEST)
    if scheme.lower() not in _SCHEMES_WITHOUT_PORT:
        _check_port(re.split(r"[/#]", plain)[0])
    bare = f"{scheme}://{user}{'@' if user else ''}{plain}{'?' if kept else ''}{'&'.join(kept)}"
    if not found:
        return url
    _full[bare] = url
    return bare


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
        ValueError: as in `hidden`, or the file cannot be read; the message names the variable.
    """
    url, file = os.environ.get(variable), os.environ.get(f"{variable}_FILE")
    named = variable
    if not url and file:
        named = f"{variable}_FILE"
        try:
            url = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{named} names {file}: {getattr(error, 'strerror', None) or error}") from None
    try:
        return hidden(url) if url else None
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
    if "://" not in text:
        return text
    text = _BEFORE_AT.sub(rf"\g<1>{MASK}", text)
    text = _NO_PORT.sub(rf"\g<1>{MASK}", _USER_ALONE.sub(rf"\g<1>{MASK}", text))
    return _IN_QUERY.sub(rf"\g<1>{MASK}", text)
