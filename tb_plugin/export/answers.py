"""The files of data of a static copy: what `tb_plugin.reading` replies to every question.

`site/answers.js` reads them. A file is named by its place below data/, without an ending:

    index                          the runs and series, and the folder of each series
    curves/NAME/curve              a curve at every step
    units/NAME/steps               the headers of a unit table
    units/NAME/STEP/table          its columns, and what a distribution says of each
    units/NAME/STEP/classes        the same of the columns for each class
    units/NAME/STEP/units-K        all that is stored of UNITS_PER_FILE units
    training/NAME                  losses and areas of a run
    lab/NAME                       weights and labels of a network
    lab/images-NAME                images that networks are asked on
"""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tb_plugin import metadata
from tb_plugin.export.lab import lab_data
from tb_plugin.export.logdir import SAMPLING
from tb_plugin.export.names import folder_name
from tb_plugin.reading.curves import curve_at_every_step
from tb_plugin.reading.distributions import by_layer
from tb_plugin.reading.index import index
from tb_plugin.reading.provider import Experiment, Pair, ProviderError
from tb_plugin.reading.tables import as_columns, every_unit, table_bytes, table_steps
from tb_plugin.reading.training import training

UNITS_PER_FILE = 200
# What the file holds of a unit at a place of its own; everything else is listed by name.
SHARED = ("row", "layer", "unit", "values", "classes")
NO_LAB = "This copy of the tab has no network that a browser can run."

Data = tuple[str, Any]  # name and content of a file
Unit = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """One unit table at one step.

    folder: "units/NAME/STEP". header: as `table_steps` gives it. units: as the route of one unit
    replies.
    """

    pair: Pair
    folder: str
    header: Mapping[str, Any]
    units: list[Unit]


class Answers:
    """All replies about one log directory.

    Attributes:
        index: as the route "index" replies.
        folders: of each series, below data/.
        models: the networks of the lab, as the route "lab/models" lists them.
        not_in_lab: the networks that a browser cannot run, and why.
    """

    def __init__(self, experiment: Experiment):
        self._experiment = experiment
        self.index: dict[str, Any] = {**index(experiment), "sampling": SAMPLING}
        self.folders: dict[Pair, str] = {}
        for series in self.index["series"]:
            pair = series["run"], series["tag"]
            kind = "units" if series["kind"] == metadata.UNITS else "curves"
            self.folders[pair] = f"{kind}/{folder_name(*pair)}"
        self._trained: dict[str, str] = {}
        self._lab: dict[str, Any] = {
            "listing": {"enabled": False, "reason": NO_LAB, "models": []},
            "files": {},
        }
        self.not_in_lab: dict[str, str] = {}

    def contents(self) -> Data:
        """The file "index"."""
        files = [[run, tag, folder] for (run, tag), folder in self.folders.items()]
        return "index", {
            "index": self.index,
            "files": files,
            "trainings": [[run, name] for run, name in self._trained.items()],
            "lab": self._lab,
        }

    @property
    def models(self) -> list[dict[str, Any]]:
        return self._lab["listing"]["models"]

    def curves(self) -> Iterator[Data]:
        """A file for each ablation or noise curve."""
        for pair, folder in self.folders.items():
            if not folder.startswith("curves/"):
                continue
            replies = curve_at_every_step(self._experiment, pair)
            at = [_without(reply, "run", "tag") for reply in replies.values()]
            yield f"{folder}/curve", {"steps": list(replies), "at": at}

    def networks(self, folder: Path) -> Iterator[Data]:
        """Files for each network of a folder that a browser can run, and for its images."""
        found = lab_data(folder)
        if found.models:
            listing = {"enabled": True, "reason": "", "models": found.models}
            self._lab = {"listing": listing, "files": found.of_models}
        self.not_in_lab = found.refused
        yield from found.data.items()

    def trainings(self) -> Iterator[Data]:
        """A file for each run that has losses or areas."""
        for reply in training(self._experiment, self.index["runs"]):
            if reply["scalars"] or reply["curves"]:
                name = f"training/{folder_name(reply['run'])}"
                self._trained[reply["run"]] = name
                yield name, reply

    def tables(self) -> Iterator[tuple[Table | None, list[Data]]]:
        """Each unit table at each step, None for an unreadable one, with its files."""
        for pair, folder in self.folders.items():
            if not folder.startswith("units/"):
                continue
            headers = table_steps(self._experiment, *pair)
            yield None, [(f"{folder}/steps", headers)]
            for header in headers:
                if "error" not in header:
                    yield self._table(pair, f"{folder}/{header['step']}", header)

    def _table(
        self, pair: Pair, folder: str, header: Mapping[str, Any]
    ) -> tuple[Table | None, list[Data]]:
        try:
            raw = table_bytes(self._experiment, *pair, header["step"])
        except (metadata.UnreadableError, ProviderError) as error:
            return None, [(f"{folder}/table", {"error": str(error)})]
        table = as_columns(raw, header)
        kinds = (f"{metadata.CLASS_MEAN}/", f"{metadata.CLASS_DROP}/")
        of_classes = [name for name in header["columns"] if name.startswith(kinds)]
        others = [name for name in header["columns"] if name not in of_classes]
        units = list(every_unit(header, raw))
        files = [
            (
                f"{folder}/table",
                {"unitsPerFile": UNITS_PER_FILE, **_columns(header, table, others)},
            )
        ]
        if of_classes:
            files.append((f"{folder}/classes", _columns(header, table, of_classes)))
        for start in range(0, len(units), UNITS_PER_FILE):
            part = units[start : start + UNITS_PER_FILE]
            files.append((f"{folder}/units-{start // UNITS_PER_FILE}", _packed(header, part)))
        return Table(pair, folder, header, units), files


def _columns(
    header: Mapping[str, Any], table: Mapping[str, np.ndarray], names: list[str]
) -> dict[str, Any]:
    """Columns in base64, and mean and quantiles of each over the units of each layer."""
    edges = np.array([0.0, 1.0])  # the counts depend on the other tables and are left out
    return {
        "columns": {name: base64.b64encode(table[name].tobytes()).decode() for name in names},
        "layers": {
            name: [_without(layer, "counts") for layer in by_layer(header, table, name, edges)]
            for name in names
        },
    }


def _packed(header: Mapping[str, Any], units: list[Unit]) -> dict[str, Any]:
    """Units without the names that they share."""
    numbers = {name: number for number, name in enumerate(header["layers"])}
    names = list(units[0]["values"])
    others = [key for key in units[0] if key not in SHARED]
    return {
        "names": names,
        "others": others,
        "units": [
            [
                numbers[unit["layer"]],
                unit["unit"],
                [unit["values"][name][key] for name in names for key in ("value", "below")],
                *(unit[key] for key in others),
            ]
            for unit in units
        ],
    }


def _without(reply: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in reply.items() if key not in keys}
