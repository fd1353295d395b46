"""The token by which a Ray cluster knows its users: where it lies, and whether it can be one."""

from __future__ import annotations

import os
import re
from pathlib import Path

from trainables.core.errors import BadInput
from trainables.core.secret_file import read_secret_file

TOKEN_PLACES = "RAY_AUTH_TOKEN, the file of RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token"
"""The places where Ray looks for the token, as messages name them."""
NO_TOKEN = (
    f"RAY_AUTH_MODE=token is set, and there is no token in {TOKEN_PLACES}: copy the one that the head was started with"
)
WRONG_TOKEN = (
    "the head refuses this process's token; set RAY_AUTH_MODE=token, and the token that the head was started with in "
    f"{TOKEN_PLACES}"
)


def token_path() -> tuple[Path, bool]:
    """Return the file in which Ray looks for the cluster token, and whether $RAY_AUTH_TOKEN_PATH names it."""
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return Path(named) if named else Path.home() / ".ray" / "auth_token", bool(named)


def token() -> str | None:
    """Return the cluster token as Ray finds it: $RAY_AUTH_TOKEN, $RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token.

    Raises:
        BadInput: the file named by $RAY_AUTH_TOKEN_PATH cannot be read, or what is there is no token: it is not made
            of printable ASCII characters without blanks. The message does not show it.
    """
    if given := os.environ.get("RAY_AUTH_TOKEN"):
        return _checked(given.strip(), "RAY_AUTH_TOKEN")
    path, named = token_path()
    origin = f"RAY_AUTH_TOKEN_PATH: {path}" if named else str(path)
    try:
        return _checked(read_secret_file(path), origin)
    except BadInput:
        raise
    except OSError as error:
        if named:
            raise BadInput(f"{origin}: {error.strerror}") from None
        return None
    except ValueError as error:
        raise BadInput(f"{origin}: {error}") from None


def _checked(found: str, origin: str) -> str | None:
    """Return a token that can stand in an HTTP header; one that cannot would be shown by the error of its library."""
    if not re.fullmatch(r"[!-~]*", found):
        raise BadInput(
            f"{origin}: is no cluster token, which is made of printable ASCII characters without blanks; "
            "copy the one that the head was started with (it is not shown here)"
        )
    return found or None


def headers() -> dict[str, str] | None:
    """Return the HTTP header with the token, which Ray's client sends by itself only if RAY_AUTH_MODE is set."""
    known = token()
    return {"Authorization": f"Bearer {known}"} if known else None
