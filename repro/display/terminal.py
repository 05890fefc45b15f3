"""What the commands show on a terminal: a progress bar, paths, plain text."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm


class _Bar(tqdm):
    """A bar that is never more than full: sums of fractions may exceed the whole by a rounding."""

    n: float
    total: float

    def update(self, n: float = 1) -> bool | None:
        if self.n + n > self.total:
            n, self.n = 0, self.total
        shown: bool | None = super().update(n)
        return shown


@contextmanager
def bar(total: float, words: str = "Training and lesioning") -> Iterator[tqdm]:
    """A progress bar on stderr; where that is no terminal, a line every half minute."""
    terminal = sys.stderr.isatty()
    with _Bar(
        total=total,
        desc=words,
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}",
        file=sys.stderr,
        mininterval=0.5 if terminal else 30,
        smoothing=0.1,
        dynamic_ncols=terminal,
    ) as one:
        yield one


def print_tensorboard(logdir: Path, networks: Path) -> None:
    """Prints the command that shows results and opens the lesion lab on the networks."""
    tensorboard = Path(sys.executable).with_name("tensorboard")
    print(
        f"TensorBoard: {shlex.quote(shown(tensorboard))} "
        f"--logdir {shlex.quote(shown(logdir))} "
        f"--single_directions_models {shlex.quote(shown(networks))}"
    )


def plain(words: str) -> str:
    """The text in ASCII, for any terminal.

    >>> plain("0.5 ± 0.1 é")
    '0.5 +- 0.1 ?'
    """
    for sign, instead in (("±", "+-"), ("ρ", "rho"), ("■", "x"), ("□", ".")):
        words = words.replace(sign, instead)
    return words.encode("ascii", "replace").decode()


def shown(path: Path) -> str:
    """A path in its shortest form from the current folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
