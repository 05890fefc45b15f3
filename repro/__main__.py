"""Lesions neural networks: reproduces "On the importance of single directions for generalization".

A command is asked for by its name and its flags, which may stand in any order:

    python -m repro lesion my.keras --data=npz:images.npz --budget=2min

What a command can be asked is a dataclass beside what it runs, whose fields are the flags
(`repro.core.flags`). Here they become parsers, and what is typed becomes one such request.
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from absl import app, flags
from absl.flags import argparse_flags

from repro.core.flags import Flag, FlagError, Usage, flags_of, nearest, switch


@dataclass(frozen=True)
class Command:
    """A command of `python -m repro`.

    about: what it does, in a line. usage: what is typed after its name.
    request: where the dataclass of its flags is. does: where the function is that takes such a
        request and returns the status to exit with.
    takes_flags_of: a command whose other flags may stand there too, without an effect.
    kept: what remains after Ctrl-C.
    """

    about: str
    usage: str
    request: str
    does: str
    takes_flags_of: str = ""
    kept: str = "What was finished is kept; the same command goes on from there."


COMMANDS = {
    "run": Command(
        "train what is missing, lesion it, write figures, report and TensorBoard summaries",
        "[flags]",
        "repro.paper.request:RunRequest",
        "repro.paper.command:run",
    ),
    "status": Command(
        "tell what is done, running, failed and left, and how long the rest will take",
        "[flags]",
        "repro.paper.request:StatusRequest",
        "repro.paper.command:status",
        takes_flags_of="run",
    ),
    "report": Command(
        "write figures, report and summaries again from the results that exist",
        "[flags]",
        "repro.paper.request:ReportRequest",
        "repro.paper.command:report",
        takes_flags_of="run",
    ),
    "lesion": Command(
        "tell which units of a trained classifier of your own matter",
        "MODEL.keras --data=npz:file.npz [flags]",
        "repro.study.request:LesionRequest",
        "repro.study.terminal:lesion",
        kept="Nothing is kept.",
    ),
    "archive": Command(
        "write a data set of TFDS as a NumPy archive, for machines without TensorFlow",
        "DATASET [flags]",
        "repro.data.request:ArchiveRequest",
        "repro.data.make_archive:make",
        kept="Nothing is kept.",
    ),
}
# The worker of `run`, which reads its task from standard input.
_WORKER = "work"
# Ways to ask for help, and the flag of argparse for each.
_HELP = {"helpfull": "--helpfull"} | dict.fromkeys(("help", "h", "?", "helpshort"), "--help")


@dataclass(frozen=True)
class Asked:
    """A command, and what it was asked."""

    command: Command
    request: Any


# --- From words to a request --------------------------------------------------------------------


def asked(words: Sequence[str]) -> Asked:
    """What these words ask for, as they stand after `python -m repro`.

    The first word is the command; a flag in its place means `run`.

    Raises:
        Usage: no such command, flag or value.
        SystemExit: help was asked for, and printed.
    """
    if not words or _HELP.get(words[0].lstrip("-")):
        _parser().print_help()
        raise SystemExit(0)
    first_is_flag = words[0].startswith("-")
    name, given = ("run", words) if first_is_flag else (words[0], words[1:])
    if name not in COMMANDS:
        hint = nearest(name, COMMANDS)
        raise Usage(
            f"unknown command {name!r}; expected {', '.join(COMMANDS)}"
            + (f". Did you mean {hint}?" if hint else "")
        )
    try:
        spelled = _spelled_out(flags.FLAGS.read_flags_from_files(list(given), True), name)
        found = vars(_parser(name).parse_args([name, *spelled]))
    except flags.Error as error:
        raise FlagError(str(error)) from error
    request = _request(name)
    own = flags_of(request)
    values = {key: value for key, value in found.items() if key in own}
    values |= {key: tuple(values[key]) for key in values if own[key].repeated}
    typed = shlex.join(["python", "-m", "repro", name, *given])
    return Asked(COMMANDS[name], request(**values, typed=typed))


def _spelled_out(words: Sequence[str], command: str) -> list[str]:
    """Each flag as one word in argparse's form, as absl's programs accept it in several: --flag
    value, -flag=value, --switch=false, --retry-failed; a word without a flag as --model=word.

    Raises:
        Usage: of a flag or word that the command does not have.
    """
    of_absl = _flags_of_absl()
    full_name = {name: of_absl[name].name for name in of_absl}
    is_switch = {of_absl[name].name: bool(of_absl[name].boolean) for name in of_absl}
    is_switch |= {one.name: one.is_switch for one in _taken(command).values()}
    fine_if_unknown: set[str] = set()  # those of --undefok
    spelled: list[str] = []
    rest: list[str] = []
    left = deque(words)
    while left:
        word = left.popleft()
        if word == "--":
            rest += left
            break
        if not word.startswith("-") or word == "-":
            rest.append(word)
            continue
        typed, equals, after = word.removeprefix("-").removeprefix("-").partition("=")
        if typed in _HELP:
            return [_HELP[typed]]
        name = typed.replace("-", "_")
        name, value = full_name.get(name, name), after if equals else None
        takes_value = name == "undefok" or is_switch.get(name) is False
        if takes_value and value is None:
            if not left:
                raise FlagError(f"--{typed} needs a value")
            value = left.popleft()
        if name == "undefok":
            fine_if_unknown |= set(str(value).split(","))
        elif takes_value:
            spelled.append(f"--{name}={value}")
        elif name in is_switch:
            spelled.append(f"--{name}" if _is_on(typed, value) else f"--no{name}")
        elif value is None and is_switch.get(name.removeprefix("no")):
            spelled.append(f"--{name}")
        elif name not in fine_if_unknown:
            raise FlagError(_no_such_flag(typed, command))
    return spelled + _positional(rest, command)


def _positional(words: Sequence[str], command: str) -> list[str]:
    """Words without a flag, as the flags that they stand for."""
    names = [one.name for one in flags_of(_request(command)).values() if one.positional]
    if words[len(names) :]:
        raise Usage(f"unexpected argument {words[len(names)]!r}; flags begin with --")
    return [f"--{name}={word}" for name, word in zip(names, words, strict=False)]


def _is_on(name: str, value: str | None) -> bool:
    """Whether a switch that was typed like this is on."""
    try:
        return value is None or switch(value)
    except ValueError as error:
        raise FlagError(f"--{name}: {error}") from error


def _no_such_flag(name: str, command: str) -> str:
    """What is wrong with a flag that the command does not have."""
    plain = name.replace("-", "_")
    homes: dict[str, list[str]] = {}
    for other in COMMANDS:
        for one in flags_of(_request(other)).values():
            homes.setdefault(one.name, []).append(other)
            if one.is_switch:
                homes.setdefault(f"no{one.name}", []).append(other)
    if plain in homes:
        return f"--{name} is a flag of {_listed(homes[plain])}, not of {command}"
    if hint := nearest(plain, [one.name for one in _taken(command).values()]):
        return f"unknown flag --{name}. Did you mean --{hint}?"
    if hint := nearest(plain, homes):
        others = _listed(homes[hint])
        return f"unknown flag --{name}. Did you mean --{hint}, a flag of {others}?"
    return f"unknown flag --{name}; python -m repro {command} --help lists those of {command}"


def _listed(names: Sequence[str]) -> str:
    """The names with commas and an "and"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


# --- Parsers ------------------------------------------------------------------------------------


class _Parser(argparse_flags.ArgumentParser):
    """A parser that raises its errors; absl's own flags, such as --verbosity, are among its own."""

    def error(self, message: str) -> Any:
        raise FlagError(message.removeprefix("argument "))


class _Switch(argparse.Action):
    """--name and --noname."""

    def __call__(
        self, parser: Any, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        setattr(namespace, self.dest, option == self.option_strings[0])


def _parser(command: str = "") -> _Parser:
    """The parser of the command line, with the flags of one command."""
    parser = _Parser(
        prog="python -m repro",
        description=(__doc__ or "").splitlines()[0],
        epilog="python -m repro COMMAND --help lists the flags of a command.",
        inherited_absl_flags=None,
        allow_abbrev=False,
    )
    parsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, one in COMMANDS.items():
        epilog = ""
        if one.takes_flags_of:
            epilog = f"The other flags of {one.takes_flags_of} may stand there too; none counts."
        sub = parsers.add_parser(
            name,
            help=one.about,
            description=f"{one.about[0].upper()}{one.about[1:]}.",
            usage=f"python -m repro {name} {one.usage}",
            epilog=epilog,
            inherited_absl_flags=_flags_of_absl() if name == command else None,
            allow_abbrev=False,
        )
        if name == command:
            shown = flags_of(_request(name))
            by_name = sorted(_taken(name).items(), key=lambda one: one[1].name)
            for field, flag in by_name:
                _add(sub, field, flag, shown=field in shown)
    return parser


def _add(parser: argparse.ArgumentParser, field: str, flag: Flag, *, shown: bool) -> None:
    """Adds a flag; its value goes by the name of the request's field."""
    settings: dict[str, Any] = {"dest": field, "default": argparse.SUPPRESS}
    settings["help"] = _help(flag) if shown else argparse.SUPPRESS
    if flag.is_switch:
        names = (f"--{flag.name}", f"--no{flag.name}")
        parser.add_argument(*names, action=_Switch, nargs=0, **settings)
        return
    settings |= {"type": _reading(flag.read), "metavar": flag.name.upper()}
    if flag.repeated:
        settings["action"] = "append"
    parser.add_argument(f"--{flag.name}", **settings)


def _help(flag: Flag) -> str:
    default = "" if flag.default in ("", (), False) else str(flag.default)
    told = not default or "Without it" in flag.help
    return (flag.help if told else f"{flag.help} (default: {default})").replace("%", "%%")


def _reading(read: Callable[[str], Any]) -> Callable[[str], Any]:
    def reading(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return reading


def _taken(command: str) -> dict[str, Flag]:
    """The flags that may stand after a command, by the fields of its request."""
    other = COMMANDS[command].takes_flags_of
    return (flags_of(_request(other)) if other else {}) | flags_of(_request(command))


def _flags_of_absl() -> flags.FlagValues:
    """absl's own flags, such as --verbosity; not those that other modules define."""
    found = flags.FlagValues()
    for module in ("absl.app", "absl.logging"):
        for one in flags.FLAGS.flags_by_module_dict().get(module, ()):
            if one.name not in found and one.name not in ("only_check_flags", *_HELP):
                found[one.name] = one
    return found


def _request(command: str) -> Any:
    return _named(COMMANDS[command].request)


def _named(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


# --- What is done -------------------------------------------------------------------------------


def main() -> None:
    """Entry point of `python -m repro`."""
    if sys.argv[1:2] == [_WORKER]:
        from repro.experiments import worker

        sys.exit(worker.main())
    # SIGTERM has the effect of Ctrl-C, so that workers end with their parent.
    signal.signal(signal.SIGTERM, _interrupt)
    app.run(_done, flags_parser=_asked_or_exit)


def answer(words: Sequence[str]) -> int:
    """Does what these words ask for, as they stand after `python -m repro`.

    Returns:
        The status to exit with.
    """
    try:
        return _done(asked(words))
    except Usage as error:
        return _told(error)


def _asked_or_exit(argv: Sequence[str]) -> Asked:
    flags.FLAGS.mark_as_parsed()
    try:
        return asked(argv[1:])
    except Usage as error:
        sys.exit(_told(error))


def _done(what: Asked) -> int:
    """Does it; tells expected errors in one sentence."""
    does = _named(what.command.does)
    from repro.core.settings import ConfigError
    from repro.data.source import DataError
    from repro.experiments.executor import ExecutorError
    from repro.experiments.runs import RunsError

    try:
        status: int = does(what.request)
    except (Usage, ConfigError, DataError, RunsError, ExecutorError) as error:
        return _told(error)
    except KeyboardInterrupt:
        print("\nInterrupted. " + what.command.kept)
        return 130
    return status


def _told(error: Exception) -> int:
    """Prints the error; returns the status to exit with."""
    print(f"repro: {error}", file=sys.stderr)
    return error.status if isinstance(error, Usage) else 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
