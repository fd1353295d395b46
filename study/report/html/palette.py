"""One colour, marker and dash per method, the same in every figure and table; safe for the colour-blind."""

from __future__ import annotations

from dataclasses import dataclass

from study.report.html.results import Results

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


def styles_of(results: Results) -> dict[str, Style]:
    """Return a style per method. Methods beyond six repeat a colour with another marker and dash."""
    chosen = results.methods
    if len(chosen) > MOST:
        best = results.by_mean_position[:MOST]
        chosen = [method for method in chosen if method in best or method == results.baseline]
    styles = {}
    for index, method in enumerate(results.methods):
        if method not in chosen:
            styles[method] = Style(method, index, OTHERS, "o", ())
            continue
        others = [other for other in chosen if other != results.baseline]
        if method == results.baseline:
            styles[method] = Style(method, index, BASELINE, "o", ())
        else:
            turn, colour = divmod(others.index(method), len(COLOURS))
            marker = _MARKERS[(colour + turn + 1) % len(_MARKERS)]
            styles[method] = Style(method, index, COLOURS[colour], marker, _DASHES[turn % len(_DASHES)])
    return styles
