"""Pictures of the page: matplotlib figures as inline SVG with hover texts and one mark per method, and as files."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.tracking.plots.palette import Style
from trainables.core.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

INK, FAINT = "#222222", "#DDDDDD"
PANEL = (4.4, 3.3)
"""Width and height of a panel in inches: as wide as a phone, three side by side on a desktop."""

_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "study",
    "pdf.fonttype": 42,
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.labelcolor": INK,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "text.parse_math": False,
    "figure.subplot.left": 0.165,
    "figure.subplot.right": 0.975,
    "figure.subplot.bottom": 0.15,
    "figure.subplot.top": 0.87,
}


@dataclass
class Picture:
    """A figure with what its SVG carries beside the drawing.

    Attributes:
        name: of its files, unique on the page.
        title: what it shows, with the images it was measured on.
        figure: the drawing.
        wide: True if it takes the page's whole width.
        tips: group id -> hover texts of the group's markers in their order, or one text for the whole group.
        methods: the methods drawn, by name. The page has one legend for all pictures; a file has its own.
        named: True if the drawing itself names its methods, so that a file needs no legend.
    """

    name: str
    title: str
    figure: Figure
    wide: bool = False
    tips: dict[str, list[str]] = field(default_factory=dict)
    methods: dict[str, Style] = field(default_factory=dict)
    named: bool = False

    def mark(self, artist: Any, style: Style | None, tips: Sequence[str] = ()) -> None:
        """Tie an artist to a method, so that picking the method hides or shows it, and give it hover texts."""
        number = -1 if style is None else style.index
        if style is not None:
            self.methods[style.method] = style
        group = f"mark-{number}-{len(self.tips)}"
        artist.set_gid(group)
        self.tips[group] = list(tips)

    def svg(self) -> str:
        """Return the drawing as SVG for a page: text stays text, and the page's own font is used."""
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        buffer = io.StringIO()
        with drawing():  # the canvas draws once, `savefig` twice
            canvas: Any = FigureCanvasSVG(self.figure)
            canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
        drawn = buffer.getvalue()
        drawn = drawn[drawn.index("<svg") :]
        drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.S)
        drawn = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", drawn))
        drawn = re.sub(r"font: ([^;\"]*?)'DejaVu Sans'[^;\"]*", r"font: \1sans-serif", drawn)
        drawn = re.sub(r"font-family: [^;\"]*", "font-family: sans-serif", drawn)
        drawn = drawn.replace("<svg ", f'<svg role="img" aria-label="{html.escape(self.title)}" ', 1)
        drawn = re.sub(r' id="(?:patch|line2d|text|axes|figure|xtick|ytick|matplotlib\.axis|legend)_\d+"', "", drawn)
        # ids must differ between the pictures of a page
        drawn = re.sub(r'(\bid="|href="#|url\(#)(?!mark-)', rf"\g<1>{self.name}-", drawn)
        for group, tips in self.tips.items():
            drawn = _with_tips(drawn, group, tips)
        return re.sub(r"\n\s*", "\n", drawn)

    def save(self, folder: Path) -> None:
        """Write the picture as SVG and as PDF, with a legend below it if it shows several methods."""
        legend = self._legend() if len(self.methods) > 1 and not self.named else None
        try:
            self._save(folder)
        finally:
            if legend is not None:
                legend.remove()

    def _legend(self) -> Legend:
        """Add a legend in the order of the page's."""
        from matplotlib.lines import Line2D

        styles = sorted(self.methods.values(), key=lambda style: style.index)
        with drawing():
            lines = [Line2D([], [], label=style.method, **look(style)) for style in styles]
            return self.figure.legend(
                handles=lines, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=4, frameon=False
            )

    def _save(self, folder: Path) -> None:
        for kind in ("svg", "pdf"):
            buffer = io.BytesIO()
            when = {"Date": None} if kind == "svg" else {"CreationDate": None}
            with drawing():
                self.figure.savefig(buffer, format=kind, metadata=when, bbox_inches="tight")
            try:
                (folder / f"{self.name}.{kind}").write_bytes(buffer.getvalue())
            except OSError as error:
                raise BadInput(f"--figures {folder}: cannot be written ({error.strerror})") from None


def _with_tips(drawn: str, group: str, tips: list[str]) -> str:
    """Replace a group's id by its method's mark, and put its hover texts into its markers."""
    number = "" if group.startswith("mark--1") else group.split("-")[1]
    opening = f'<g id="{group}">'
    start = drawn.find(opening)
    if start < 0:  # nothing was drawn
        return drawn
    mark = f'<g data-m="{number}">' if number else "<g>"
    end = _end_of_group(drawn, start)
    body = drawn[start + len(opening) : end]
    if len(tips) == 1:
        body = f"<title>{html.escape(tips[0])}</title>{body}"
    elif tips:
        texts = iter(tips)

        def titled(found: re.Match[str]) -> str:
            text = next(texts, "")
            return f"{found[1]}><title>{html.escape(text)}</title></use>" if text else found[0]

        body = re.sub(r"(<use [^>]*?)\s*/>", titled, body)
    return drawn[:start] + mark + body + drawn[end:]


def _end_of_group(drawn: str, start: int) -> int:
    """Return where the closing tag of the group that opens at ``start`` begins."""
    depth = 0
    for found in re.compile(r"<g[ >]|</g>").finditer(drawn, start):
        depth += -1 if found[0] == "</g>" else 1
        if depth == 0:
            return found.start()
    return len(drawn)


def drawing() -> AbstractContextManager[None]:
    """Apply the fonts and lines of the page to the figures that are made and written inside."""
    import matplotlib

    return matplotlib.rc_context(_SETTINGS)


def panel(size: tuple[float, float] = PANEL, *, fitted: bool = False) -> tuple[Figure, Axes]:
    """Return an empty figure with one panel.

    Args:
        size: width and height in inches.
        fitted: leave the room that labels need, which costs a second drawing; else the margins are fixed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained" if fitted else None)
    return figure, figure.add_subplot()


def look(style: Style, size: float = 4.5) -> dict[str, Any]:
    """Return the arguments that draw a method's line."""
    dashes = {} if not style.dash else {"dashes": style.dash}
    return {
        "color": style.colour,
        "marker": style.marker,
        "markersize": size if style.shown else 2.5,
        "linewidth": 1.6 if style.shown else 0.8,
        "markeredgecolor": "white" if style.shown else style.colour,
        "markeredgewidth": 0.5,
        **dashes,
    }


def ratio_axis(axes: Axes, ratios: Sequence[float]) -> None:
    """Make the x axis one of imbalance ratios: logarithmic, with a tick at each."""
    from matplotlib.ticker import FixedLocator, NullLocator

    ticks = sorted(set(ratios))
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{ratio:g}" for ratio in ticks])
    if len(ticks) == 1 or ticks[0] == ticks[-1]:
        axes.set_xlim(ticks[0] / 1.5, ticks[0] * 1.5)
    axes.set_xlabel("imbalance ratio")
