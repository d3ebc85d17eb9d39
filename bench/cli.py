"""The command line of the bench: plans the trials, interleaves the rounds, prints the tables."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from . import events, hooks, memory, neighbours, report
from .report import Group
from .rig import Rig, TrialFailed, raise_descriptor_limit
from .servers import NGINX, NGINX_PACKAGES, RTMPD, RTMPD_FLUSH, Contender, Server, ServerFailed, nginx_module
from .streams import Size
from .trials import SETS, TRIALS, Options, Trial

EX_PROBLEMS = 1
EX_USAGE = 2
SLOW_PLAYERS = 500


@dataclass(frozen=True, slots=True)
class Step:
    """One trial of one contender; it is repeated in every round."""

    group: Group
    trial: Trial
    contender: Contender
    options: Options


def parser() -> argparse.ArgumentParser:
    """The options."""
    parsed = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measures rtmpd against Debian's nginx-rtmp on this machine and prints tables.",
        epilog="trials: "
        + "; ".join(f"{trial.name}: {trial.title}" for trial in TRIALS.values())
        + ". Together: "
        + "; ".join(f"{name}: {', '.join(trials)}" for name, trials in SETS.items())
        + ". Events and their hooks: scripts/bench hooks --help",
    )
    parsed.add_argument("trial", nargs="*", type=_trials, metavar="TRIAL", help="what to measure; default all")
    parsed.add_argument("--only", choices=("rtmpd", "nginx"), help="measure just one of the two")
    parsed.add_argument("--rounds", type=_positive, default=3, help="interleaved rounds (default 3)")
    parsed.add_argument("--seconds", type=_duration, default=4.0, help="measured time of each trial (default 4)")
    parsed.add_argument("--players", type=_sizes, default="1,50,200,500", help="sizes of fanout (default 1,50,200,500)")
    parsed.add_argument(
        "--streams",
        type=_streams,
        default="100x2,50x1,1x1",
        help="streams and players each of live (default %(default)s)",
    )
    parsed.add_argument("--publishers", type=_positive, default=50, help="streams of publishers (default 50)")
    parsed.add_argument("--idle-players", type=_positive, default=2000, help="sessions of idle (default 2000)")
    parsed.add_argument("--slow-players", type=_positive, default=SLOW_PLAYERS, help="players of slow (default 500)")
    every_policy = ",".join(RTMPD_FLUSH)
    parsed.add_argument(
        "--policies", type=_policies, default=every_policy, help="flush policies of fanout (default %(default)s)"
    )
    parsed.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")
    parsed.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the figures in docs/performance.md")
    return parsed


def _trials(text: str) -> tuple[str, ...]:
    if text in SETS:
        return SETS[text]
    if text not in TRIALS:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join((*TRIALS, *SETS))}")
    return (text,)


def _streams(text: str) -> list[Size]:
    sizes = []
    for size in text.split(","):
        streams, times, players = size.partition("x")
        if not times:
            raise argparse.ArgumentTypeError(f"{size!r} is not streams and players each, as 50x1")
        sizes.append(Size(_positive(streams), _positive(players)))
    return sizes


def _sizes(text: str) -> list[int]:
    return [_positive(size) for size in text.split(",")]


def _policies(text: str) -> list[Contender]:
    unknown = [name for name in text.split(",") if name not in RTMPD_FLUSH]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(RTMPD_FLUSH)}")
    return [RTMPD_FLUSH[name] for name in text.split(",")]


def _duration(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 60:
        raise argparse.ArgumentTypeError("must be 0.1 to 60")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def plan(arguments: argparse.Namespace) -> tuple[list[Group], list[Step]]:
    """What one round does, in order."""
    base = Options(arguments.seconds, idle_players=arguments.idle_players)
    groups, steps = [], []
    for name in dict.fromkeys(name for names in arguments.trial or [tuple(TRIALS)] for name in names):
        trial = TRIALS[name]
        for size, options in _options(name, base, arguments):
            title = f"{name}: {trial.title}" + (f", {size}" if size else "")
            group = Group(trial, title)
            groups.append(group)
            usual = [NGINX, *(arguments.policies if trial.policies else [RTMPD])]
            rivals = list(trial.contenders) or usual
            wanted = [each for each in rivals if arguments.only in (None, each.program)]
            steps += [Step(group, trial, each, options) for each in wanted]
    return groups, steps


def _options(name: str, base: Options, arguments: argparse.Namespace) -> list[tuple[str, Options]]:
    """The sizes at which a trial is carried out, as its title has them, with the options of each."""
    if name == "live":
        return [(str(size), replace(base, size=size)) for size in arguments.streams]
    if name == "publishers":
        return [(f"{arguments.publishers} streams", replace(base, size=Size(arguments.publishers, 0)))]
    sizes = {"fanout": arguments.players, "slow": [arguments.slow_players]}.get(name)
    if sizes is None:
        return [("", base)]
    return [(f"{size} player{'s' * (size > 1)}", replace(base, players=size)) for size in sizes]


def measure(steps: list[Step], rounds: int) -> list[str]:
    """Carry the plan out. Returns one line for each trial that could not be carried out."""
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[-1]})
    if len(cpus) == 1:
        print("one processor only: server and generator share it, the figures mean little", file=sys.stderr)
    failures = []
    for number in range(rounds):
        for step in steps:
            started = time.monotonic()
            try:
                figures = _carry_out(step, cpus[0])
            except (TrialFailed, ServerFailed) as error:
                failures.append(f"{step.group.title}: {step.contender.name}: {error}")
                print(failures[-1], file=sys.stderr)
                continue
            step.group.rounds.setdefault(step.contender.name, []).append(figures)
            took_s = time.monotonic() - started
            name = f"{step.group.title}: {step.contender.name}"
            print(f"round {number + 1}/{rounds}  {name}  {took_s:.1f} s", file=sys.stderr)
    return failures


def _carry_out(step: Step, cpu: int) -> dict[str, float]:
    with Server(step.contender, cpu) as server, Rig(server) as rig:
        gc.collect()
        gc.disable()
        try:
            return step.trial.run(rig, step.options)
        finally:
            gc.enable()


def main() -> int:
    """Exit status 0: everything measured and verified; 1: something failed, or was lost or corrupt."""
    if sys.argv[1:2] == ["hooks"]:
        return hooks.main(sys.argv[2:])
    if sys.argv[1:2] == ["memory"]:
        return memory.main(sys.argv[2:])
    if sys.argv[1:2] == ["neighbours"]:
        return neighbours.main(sys.argv[2:])
    if sys.argv[1:2] == ["events"]:
        return events.main(sys.argv[2:])
    arguments = parser().parse_args()
    if arguments.only != "rtmpd" and nginx_module() is None:
        print(
            f"nginx with its RTMP module is not installed. Debian: apt-get install {NGINX_PACKAGES}\n"
            "To measure rtmpd alone: scripts/bench --only rtmpd",
            file=sys.stderr,
        )
        return EX_USAGE
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _terminated)
    raise_descriptor_limit()
    groups, steps = plan(arguments)
    try:
        failures = measure(steps, arguments.rounds)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        failures = ["interrupted"]
    groups = [group for group in groups if group.rounds]
    problems = failures + [line for group in groups for line in group.problems()]
    _publish(arguments, groups)
    for line in problems:
        print(f"PROBLEM  {line}")
    return EX_PROBLEMS if problems else 0


def _publish(arguments: argparse.Namespace, groups: list[Group]) -> None:
    """Print the tables, and write the files that were asked for."""
    about = report.about(arguments.rounds, arguments.seconds, _versions(arguments.only))
    print(f"\n{about}\n\n{report.plain(groups)}\n")
    if arguments.json is not None:
        arguments.json.write_text(report.as_json(groups, about))
    if arguments.markdown is not None:
        report.rewrite(arguments.markdown, report.markdown(groups, about))


def _versions(only: str | None) -> str:
    if only == "rtmpd":
        return "rtmpd alone"
    query = ["dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-rtmp"]
    try:
        version = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "nginx-rtmp"
    return f"libnginx-mod-rtmp {version}"


def _terminated(signum: int, frame: object) -> None:
    raise KeyboardInterrupt
