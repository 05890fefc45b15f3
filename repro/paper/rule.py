"""A rule: the thresholds by which a claim is decided, the text that states them, and the decision.

The text is formatted from the same fields that the decision compares with, so that the two always
agree. Besides Python's format a text may write a field as a word: `{n!w}` five, `{n!o}` third,
`{n!t}` twice, `{x!p}` 10 %, `{n!v}` halves.
"""

from __future__ import annotations

import dataclasses
import string
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from repro.core.results import FigureResult
from repro.core.words import percent
from repro.paper.finding import Finding
from repro.paper.measures import CONFIDENCE

_CARDINALS = "no one two three four five six seven eight nine ten".split()
_PARTS = {2: "half", 3: "third", 4: "quarter", 5: "fifth", 10: "tenth"}


def cardinal(number: int) -> str:
    """A number as a word, up to ten.

    >>> cardinal(5), cardinal(12)
    ('five', '12')
    """
    return _CARDINALS[number] if 0 <= number < len(_CARDINALS) else f"{number:,}"


def part(number: int) -> str:
    """One of so many equal parts.

    >>> part(2), part(5), part(7)
    ('half', 'fifth', '1/7')
    """
    return _PARTS.get(number, f"1/{number}")


def times(number: float) -> str:
    """A factor in words.

    >>> times(2), times(3)
    ('twice', '3 times')
    """
    return "twice" if number == 2 else f"{number:g} times"


def divides(number: float) -> str:
    """A change that leaves one of so many parts, as a verb: "it halves".

    >>> divides(2), divides(3)
    ('halves', 'divides by 3')
    """
    return "halves" if number == 2 else f"divides by {number:g}"


def divided(number: float) -> str:
    """The same in the past: "it halved".

    >>> divided(2), divided(3)
    ('halved', 'divided by 3')
    """
    return "halved" if number == 2 else f"divided by {number:g}"


_CONVERSIONS = {"w": cardinal, "o": part, "t": times, "p": percent, "v": divides}


def choice(default: Any) -> Any:
    """A field of a rule that is no threshold: how something is measured where the paper is silent.

    `Claim.others` sets it otherwise. The text of the rule need not name it.
    """
    return dataclasses.field(default=default, metadata={"choice": True})


class _Words(string.Formatter):
    """Formats a template with the attributes of a rule."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule

    def get_value(self, key: int | str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The attribute of that name."""
        return getattr(self._rule, str(key))

    def convert_field(self, value: Any, conversion: str | None) -> Any:
        """A number in words, as the module says."""
        if conversion in _CONVERSIONS:
            return _CONVERSIONS[conversion](value)
        return super().convert_field(value, conversion)  # type: ignore[arg-type]


class Rule(ABC):
    """Decides a claim by the results of a figure. Subclasses are frozen dataclasses, whose fields
    are the thresholds.

    template: the text, with fields in braces.
    confidence: coverage of every interval that the rules on claims use.
    """

    template: ClassVar[str]
    confidence: ClassVar[float] = CONFIDENCE

    @property
    def text(self) -> str:
        """When the claim is supported and when it is not, for a reader."""
        return _Words(self).format(self.template)

    @abstractmethod
    def __call__(self, figure: FigureResult) -> Finding:
        """The finding; its verdict is NOT_RUN where the results that the rule needs are missing."""
