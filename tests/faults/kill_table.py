"""The results of random kills: collected over several calls in a JSON file, and printed as tables."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.victims import KINDS


@dataclass
class Kill:
    """One kill and what followed until the next.

    Attributes:
        kind: the victim.
        phase: what the study was doing.
        at: `time.monotonic` of the kill.
        gone_after: seconds until all processes had ended that had to.
        on_after: seconds until the study ended a new epoch, or itself; None if the next kill came before.
        allowed: stored epochs that were newer than the newest checkpoint of their training.
        repeated: epochs that were trained again.
        lost: trials that had ended and no longer have.
        doubled: trials that the undisturbed study does not have.
        differing: trials that ended with another result than in the undisturbed study.
    """

    kind: str
    phase: str
    at: float
    gone_after: float = 0.0
    on_after: float | None = None
    allowed: int = 0
    repeated: int = 0
    lost: int = 0
    doubled: int = 0
    differing: list[str] = field(default_factory=list)


@dataclass
class Round:
    """One run of the study with its kills, and how it differs from the undisturbed one at its end.

    Attributes:
        seconds: of the whole run.
        kills: in order.
        trials: of the study.
        lost: trials, or their runs in MLflow, that are not there.
        doubled: trials or runs that should not be there.
        parts: compared parts of what is stored: ledger entries, files, runs.
        differing: those that differ.
        faults: exit codes, tracebacks and messages that should not be.
    """

    seconds: float
    kills: list[Kill]
    trials: int
    lost: list[str]
    doubled: list[str]
    parts: int
    differing: list[str]
    faults: list[str]

    def said(self) -> str:
        """Return one line, and one for each thing that is wrong."""
        repeated, allowed = (sum(getattr(kill, name) for kill in self.kills) for name in ("repeated", "allowed"))
        lines = [
            f"{len(self.kills)} kills in {self.seconds:.0f} s: {len(self.lost)} lost, {len(self.doubled)} doubled, "
            f"{repeated} of at most {allowed} epochs repeated, {len(self.differing)} of {self.parts} parts differ"
        ]
        lines += [
            f"  {kill.phase}: {kill.kind}, gone after {kill.gone_after:.1f} s, on after "
            f"{'-' if kill.on_after is None else f'{kill.on_after:.1f} s'}, {kill.repeated}/{kill.allowed} repeated"
            for kill in self.kills
        ]
        lines += [
            f"  {what}: {one}" for what in ("lost", "doubled", "differing", "faults") for one in getattr(self, what)
        ]
        return "\n".join(lines)


@dataclass
class Tally:
    """All rounds so far."""

    rounds: list[Round] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    undisturbed: list[float] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Tally:
        """Read what earlier calls wrote; nothing if there is no such file."""
        if not path.exists():
            return cls()
        stored: dict[str, Any] = json.loads(path.read_text())
        rounds = [Round(**{**one, "kills": [Kill(**kill) for kill in one["kills"]]}) for one in stored["rounds"]]
        return cls(rounds, stored["headers"], stored["undisturbed"])

    def write(self, path: Path) -> None:
        """Store all rounds."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    def add(self, played: Round, header: str, undisturbed: float) -> None:
        """Add a round, played by a call with this header, of a study that takes so many seconds undisturbed."""
        self.rounds.append(played)
        if header not in self.headers:
            self.headers.append(header)
            self.undisturbed.append(undisturbed)

    @property
    def kills(self) -> list[Kill]:
        """All kills."""
        return [kill for played in self.rounds for kill in played.kills]

    def kills_of(self, kind: str, more: list[Kill]) -> int:
        """Return how often a kind of victim was struck, in all rounds and in ``more``."""
        return sum(kill.kind == kind for kill in (*self.kills, *more))

    def broken(self) -> bool:
        """Return whether anything was lost, doubled, repeated too often, or differs."""
        wrong = any(played.lost or played.doubled or played.differing for played in self.rounds)
        return wrong or any(
            kill.lost or kill.doubled or kill.differing or kill.repeated > kill.allowed for kill in self.kills
        )

    def tables(self) -> str:
        """Return the tables as Markdown."""
        headers = "\n\n".join(self.headers)
        return "\n".join(["```", headers, "```", "", *self._by_victim(), "", *self._by_phase(), "", *self._summary()])

    def _by_victim(self) -> list[str]:
        lines = [
            "| victim | kills | trials lost | doubled | differing | epochs repeated | of at most | kills beyond that "
            "| most after one kill | s until its processes were gone, most | s until it went on, median | most |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        groups = {kind: [kill for kill in self.kills if kill.kind == kind] for kind in KINDS}
        for kind, kills in {**groups, "all": self.kills}.items():
            if not kills:
                continue
            on = [kill.on_after for kill in kills if kill.on_after is not None]
            cells = (
                *(kind, len(kills), sum(k.lost for k in kills), sum(k.doubled for k in kills)),
                *(sum(len(k.differing) for k in kills), sum(k.repeated for k in kills), sum(k.allowed for k in kills)),
                *(sum(k.repeated > k.allowed for k in kills), max(k.repeated for k in kills)),
                f"{max(k.gone_after for k in kills):.1f}",
                *(f"{statistics.median(on):.0f}" if on else "-", f"{max(on):.0f}" if on else "-"),
            )
            lines.append("| " + " | ".join(map(str, cells)) + " |")
        return lines

    def _by_phase(self) -> list[str]:
        phases = Counter(kill.phase for kill in self.kills)
        return [
            "| struck while | kills |",
            "|---|---|",
            *(f"| {phase} | {count} |" for phase, count in phases.most_common()),
        ]

    def _summary(self) -> list[str]:
        found = [sum(len(getattr(played, name)) for played in self.rounds) for name in ("lost", "doubled", "differing")]
        parts = sum(played.parts for played in self.rounds)
        trials = self.rounds[0].trials if self.rounds else 0
        return [
            f"{len(self.kills)} kills in {len(self.rounds)} runs of a study of {trials} trials. At their ends "
            f"{found[0]} trials or runs in MLflow were missing, {found[1]} were there twice, and {found[2]} of {parts} "
            f"compared parts differed from the undisturbed study."
        ]
