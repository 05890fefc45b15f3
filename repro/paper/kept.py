"""What is kept of a figure, so that a figure that is done is neither read nor drawn again.

    runs/figures/<figure>-<name>.zip    pictures, tables, numbers and words of one figure

The name is a hash of all that they are made from: the results on the disk, the settings of the
figure, the words for its images and its command, and the code that draws and judges. A figure with
other results, settings or code has another name and is made anew, and so is one whose file is
damaged or gone.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from repro.core import folders
from repro.core.settings import FigureConfig
from repro.core.zipped import unzipped, zipped
from repro.display.html import Item, Picture, Table
from repro.display.tables import to_json
from repro.paper.claims import Other, Verdict, to_record
from repro.paper.finding import Interval

# Rooms and modules whose code decides what is said and shown of results.
_CODE = ("core", "display", "paper", "experiments/collect.py")
_PACKAGES = ("matplotlib", "numpy", "scipy")
_FACTS = "facts.json"
_NAME_LENGTH = 16  # hexadecimal digits


@dataclass(frozen=True)
class FigureReport:
    """What a report says of one figure, and the files that show it.

    n_networks: how many networks are done. not_run: why there is none; "" if there is one.
    data: which images were used, in words.
    verdicts, others: on the figure's claims, and under other choices where the paper is silent.
    numbers: the figure's part of summary.json.
    sentence: what the figure shows. caption: what is drawn.
    pictures: its panels, for a page; () without a network.
    tables, made: what the page says of the networks, and how they were made.
    files: contents of the files beside the page, by name: pictures and CSV tables.
    """

    config: FigureConfig
    n_networks: int
    not_run: str
    data: str
    verdicts: tuple[Verdict, ...]
    others: tuple[Other, ...]
    numbers: dict[str, Any]
    sentence: str
    caption: str
    pictures: tuple[Picture, ...]
    tables: tuple[Table, ...]
    made: tuple[Item, ...]
    files: dict[str, bytes]

    def to_bytes(self) -> bytes:
        """All but the config, as a zip."""
        facts = {
            "n_networks": self.n_networks,
            "not_run": self.not_run,
            "data": self.data,
            "verdicts": [to_record(one) for one in self.verdicts],
            "others": [to_record(one) for one in self.others],
            "numbers": self.numbers,
            "sentence": self.sentence,
            "caption": self.caption,
            "pictures": [[one.alternative, one.caption] for one in self.pictures],
            "tables": self.tables,
            "made": self.made,
        }
        members = {_FACTS: to_json(facts)}
        for index, one in enumerate(self.pictures):
            members |= {f"{index}-light.svg": one.light, f"{index}-dark.svg": one.dark}
        return zipped(members | self.files)

    @classmethod
    def from_bytes(cls, content: bytes, config: FigureConfig) -> FigureReport:
        """The inverse of `to_bytes`.

        Raises:
            ValueError, KeyError, TypeError, zipfile.BadZipFile: another content.
        """
        files = unzipped(content)
        facts = json.loads(files.pop(_FACTS))
        pictures = tuple(
            Picture(files.pop(f"{index}-light.svg"), files.pop(f"{index}-dark.svg"), *words)
            for index, words in enumerate(facts["pictures"])
        )
        return cls(
            config=config,
            n_networks=facts["n_networks"],
            not_run=facts["not_run"],
            data=facts["data"],
            verdicts=tuple(Verdict(**_with_interval(one)) for one in facts["verdicts"]),
            others=tuple(Other(**_with_interval(one)) for one in facts["others"]),
            numbers=facts["numbers"],
            sentence=facts["sentence"],
            caption=facts["caption"],
            pictures=pictures,
            tables=tuple(Table(*one) for one in facts["tables"]),
            made=tuple(Item(*one) for one in facts["made"]),
            files=files,
        )


def _with_interval(record: dict[str, Any]) -> dict[str, Any]:
    return record | {"interval": record["interval"] and Interval(*record["interval"])}


class Kept:
    """The figures that are kept in a folder, one file a figure.

    Args:
        folder: made when the first figure is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, figure: FigureConfig, name: str) -> FigureReport | None:
        """The figure of this name; None if there is no such figure, or its file is damaged."""
        try:
            return FigureReport.from_bytes(self._path(figure, name).read_bytes(), figure)
        except (OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile):
            return None

    def keep(self, one: FigureReport, name: str) -> None:
        """Keeps a figure; the file that it had under another name goes.

        Raises:
            RunsError: a fault of the disk.
        """
        folders.write_bytes(self._path(one.config, name), one.to_bytes())
        ours = re.compile(rf"{re.escape(one.config.name)}-[0-9a-f]{{{_NAME_LENGTH}}}\.zip")
        new = self._path(one.config, name).name
        folders.remove_files(self.folder, lambda file: bool(ours.fullmatch(file)) and file != new)

    def _path(self, figure: FigureConfig, name: str) -> Path:
        return self.folder / f"{figure.name}-{name}.zip"


def name_of(figure: FigureConfig, results: str, data: str, command: str, code: str) -> str:
    """The name under which a figure is kept.

    Args:
        results: digest of the results, see `collect.digest`.
        data: which images were used, in words. command: what makes the figure.
        code: digest of what draws and judges, see `code_digest`.
    """
    parts = (repr(figure), results, data, command, code)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_NAME_LENGTH]


@functools.cache
def code_digest(package: Path = Path(__file__).parents[1]) -> str:
    """A digest of the code that draws and judges, and of the packages that it draws with.

    Args:
        package: folder of `repro`.
    """
    found = hashlib.sha256()
    for place in _CODE:
        path = package / place
        for module in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            content = hashlib.sha256(module.read_bytes()).hexdigest()
            found.update(f"{module.relative_to(package).as_posix()} {content}\n".encode())
    for name in _PACKAGES:
        found.update(f"{name} {metadata.version(name)}\n".encode())
    return found.hexdigest()
