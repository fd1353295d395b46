"""One colour, marker and dash per method, the same in MLflow and in reports; safe for the colour-blind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BASELINE = "#000000"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""The colours of Okabe and Ito, 2008, without yellow, which is too pale on white; black is the baseline's."""
OTHERS = "#B5B5B5"
MOST = 13
"""Most methods with a colour of their own; a study of more shows the best of them, the others are grey."""

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES: tuple[tuple[float, ...], ...] = ((), (5, 2), (1.5, 1.5))


@dataclass(frozen=True)
class Style:
    """Colour, marker and dashes of a method. ``index`` is its number in the study; ``dash`` counts line widths."""

    method: str
    index: int
    colour: str
    marker: str
    dash: tuple[float, ...]

    @property
    def shown(self) -> bool:
        """False for a method among the others, which are grey."""
        return self.colour != OTHERS


def styles_of(methods: Sequence[str], baseline: str | None, best_first: Sequence[str]) -> dict[str, Style]:
    """Return a style per method. Methods beyond six repeat a colour with another marker and dash.

    Args:
        methods: labels of all methods, in the order of the study file.
        baseline: the one in black, if there is any.
        best_first: the methods from best to worst; if there are more than `MOST`, the first ones have a colour.
    """
    chosen = list(methods)
    if len(chosen) > MOST:
        best = best_first[:MOST]
        chosen = [method for method in chosen if method in best or method == baseline]
    styles = {}
    for index, method in enumerate(methods):
        if method not in chosen:
            styles[method] = Style(method, index, OTHERS, "o", ())
            continue
        others = [other for other in chosen if other != baseline]
        if method == baseline:
            styles[method] = Style(method, index, BASELINE, "o", ())
        else:
            turn, colour = divmod(others.index(method), len(COLOURS))
            marker = _MARKERS[(colour + turn + 1) % len(_MARKERS)]
            styles[method] = Style(method, index, COLOURS[colour], marker, _DASHES[turn % len(_DASHES)])
    return styles
