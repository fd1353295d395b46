"""The user's web browser, where there is one with windows."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Callable, Mapping


def opener(environment: Mapping[str, str] = os.environ) -> Callable[[str], object] | None:
    """Return what opens a page, or None on a machine without a screen: a browser in the terminal would take it over."""
    windows = sys.platform in ("darwin", "win32") or any(environment.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY"))
    return webbrowser.open if windows else None
