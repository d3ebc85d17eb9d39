"""Medians of several rounds as tables for people, Markdown for the manual and JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .audience import Figures
from .servers import NGINX
from .trials import PROBLEMS

BEGIN = "<!-- bench: begin -->"
END = "<!-- bench: end -->"


class Trial(Protocol):
    """What a table has to know of a trial (``trials.Trial``)."""

    @property
    def name(self) -> str: ...

    @property
    def columns(self) -> tuple[str, ...]: ...

    @property
    def compared(self) -> tuple[str, ...]: ...

    @property
    def subject(self) -> str: ...


@dataclass(slots=True)
class Group:
    """The rounds of one trial at one size, by the name of the contender."""

    trial: Trial
    title: str
    rounds: dict[str, list[Figures]] = field(default_factory=dict)

    def median(self, contender: str, figure: str) -> float | None:
        """The median over the rounds, or None if there was none."""
        values = [each[figure] for each in self.rounds.get(contender, [])]
        return statistics.median(values) if values else None

    def ratio(self, contender: str, figure: str) -> float | None:
        """The ratio of contender to nginx: the median of those of the rounds, as the two of one round were measured one
        after the other. If a round is missing it is the ratio of the medians."""
        rounds = self.rounds.get(contender, []), self.rounds.get(NGINX.name, [])
        if len(rounds[0]) == len(rounds[1]):
            ratios = [own[figure] / nginx[figure] for own, nginx in zip(*rounds, strict=True) if nginx[figure]]
            return statistics.median(ratios) if ratios else None
        own, reference = self.median(contender, figure), self.median(NGINX.name, figure)
        return own / reference if own is not None and reference else None

    def problems(self) -> list[str]:
        """One line for each contender of which something was lost, reordered, corrupt or failed."""
        lines = []
        for contender, rounds in self.rounds.items():
            totals = {name: sum(int(figures.get(name, 0)) for figures in rounds) for name in PROBLEMS}
            found = ", ".join(f"{count} {name}" for name, count in totals.items() if count)
            if found:
                lines.append(f"{self.title}: {contender}: {found}")
        return lines


def number(value: float) -> str:
    """Three significant digits or a whole number, thousands with a comma."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def cell(values: list[float]) -> str:
    """Median (least-greatest); just the value if there was one round."""
    text = number(statistics.median(values))
    return text if len(values) == 1 else f"{text} ({number(min(values))}-{number(max(values))})"


def rows(group: Group) -> list[list[str]]:
    """The table of one group, its heading first."""
    compare = NGINX.name in group.rounds and len(group.rounds) > 1
    heading = [group.trial.subject]
    for column in group.trial.columns:
        heading.append(column)
        if compare and column in group.trial.compared:
            heading.append("x nginx")
    heading.append("faults")
    table = [heading]
    for contender, rounds in group.rounds.items():
        row = [contender]
        for column in group.trial.columns:
            row.append(cell([figures[column] for figures in rounds]))
            if compare and column in group.trial.compared:
                ratio = group.ratio(contender, column)
                row.append("-" if ratio is None else f"{ratio:.2f}")
        row.append(str(sum(int(figures.get(name, 0)) for figures in rounds for name in PROBLEMS)))
        table.append(row)
    return table


def plain(groups: list[Group]) -> str:
    """Aligned tables."""
    blocks = []
    for group in groups:
        table = rows(group)
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        padded = [[text.ljust(width) for text, width in zip(row, widths, strict=True)] for row in table]
        blocks.append("\n".join([group.title, *("  " + "  ".join(row).rstrip() for row in padded)]))
    return "\n\n".join(blocks)


def markdown(groups: list[Group], about: str) -> str:
    """Markdown tables."""
    blocks = [about]
    for group in groups:
        heading, *body = rows(group)
        lines = [heading, ["---"] * len(heading), *body]
        blocks.append(f"**{group.title[0].upper()}{group.title[1:]}**")
        blocks.append("\n".join("| " + " | ".join(line) + " |" for line in lines))
    return "\n\n".join(blocks)


def rewrite(page: Path, text: str, begin_mark: str = BEGIN, end_mark: str = END) -> None:
    """Put ``text`` between the two marks of a page; raises ValueError if they are not there."""
    before, begin, rest = page.read_text().partition(begin_mark)
    _, end, after = rest.partition(end_mark)
    if not begin or not end:
        raise ValueError(f"{page} has no {begin_mark} ... {end_mark}")
    page.write_text(f"{before}{begin_mark}\n\n{text}\n\n{end_mark}{after}")


def about(rounds: int, seconds: float, servers: str) -> str:
    """When, where and how, in a sentence or two."""
    return (
        f"{where(servers)} Median (least-greatest) of {rounds} interleaved round{'s' if rounds > 1 else ''} with "
        f"windows of {seconds:g} s; MB is 10^6 bytes."
    )


def where(servers: str) -> str:
    """The day and the machine."""
    day = time.strftime("%Y-%m-%d")
    python = f"{platform.python_implementation()} {platform.python_version()}"
    machine = f"{os.cpu_count()} processors ({_processor()}), Linux {platform.release()}, {python}"
    return f"Measured on {day}: {machine}, {servers}."


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def as_json(groups: list[Group], about: str) -> str:
    """Everything that was measured."""
    trials = [
        {"trial": group.trial.name, "title": group.title, "rounds": group.rounds, "ratios": _ratios(group)}
        for group in groups
    ]
    problems = [line for group in groups for line in group.problems()]
    return json.dumps({"about": about, "trials": trials, "problems": problems}, indent=1) + "\n"


def _ratios(group: Group) -> dict[str, dict[str, float | None]]:
    if NGINX.name not in group.rounds:
        return {}
    return {name: {each: group.ratio(name, each) for each in group.trial.compared} for name in group.rounds}
