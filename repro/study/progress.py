"""How far a study is: a bar on stderr in a terminal, a widget in a notebook, nothing elsewhere."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Protocol

# Seconds after which a step counts as long: what is over sooner shows no bar.
_SHOWN_AFTER = 1.0


class Bar(Protocol):
    """A progress bar, as tqdm has them."""

    def update(self, n: float) -> Any: ...


class Progress:
    """Moves a bar from nothing to its end, while there is one, whatever the engine reports.

    `advance` is what an engine is given as `on_progress`.

    Args:
        shown: True for bars on stderr, False for none, None for bars where a person looks on: when
            stderr is a terminal, or in a notebook.
        on_progress: is told the same as `advance`, bar or no bar.
    """

    def __init__(
        self,
        shown: bool | None = False,
        on_progress: Callable[[int], None] = lambda pairs: None,
    ) -> None:
        self._shown, self._on_progress = shown, on_progress
        self._bar: Bar | None = None
        self._left = 0.0

    def advance(self, pairs: int) -> None:
        """So many more (image, lesion) pairs are evaluated."""
        self._on_progress(pairs)
        self._move(pairs)

    @contextlib.contextmanager
    def step(self, words: str, pairs: float) -> Iterator[None]:
        """While one long step runs, of so many (image, lesion) pairs. A step within a step, or one
        that `shown_by` shows, has no bar of its own."""
        if self._bar is not None or not (somebody_looks() if self._shown is None else self._shown):
            yield
            return
        with (
            _bar_kind()(
                total=pairs,
                desc=words,
                file=sys.stderr,
                leave=False,
                delay=_SHOWN_AFTER,
                bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}",
                dynamic_ncols=sys.stderr.isatty(),
            ) as bar,
            self.shown_by(bar, pairs),
        ):
            yield

    @contextlib.contextmanager
    def shown_by(self, bar: Bar, total: float) -> Iterator[None]:
        """While a bar of so many pairs shows what is done."""
        self._bar, self._left = bar, total
        try:
            yield
            self._move(self._left)
        finally:
            self._bar = None

    def _move(self, pairs: float) -> None:
        if self._bar is not None:
            pairs = min(pairs, self._left)
            self._bar.update(pairs)
            self._left -= pairs


def somebody_looks() -> bool:
    """Whether stderr is a terminal, or this is a notebook."""
    return sys.stderr.isatty() or in_notebook()


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = sys.modules.get("IPython")
    running = shell.get_ipython() if shell is not None else None
    return running is not None and "IPKernelApp" in running.config


def _bar_kind() -> Any:
    """tqdm, as a widget in a notebook that has widgets."""
    with warnings.catch_warnings():
        # It says where it finds no widgets; then it draws with characters, which does as well.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    return tqdm
