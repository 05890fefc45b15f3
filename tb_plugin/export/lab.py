"""The files of the lab of a static copy: networks that a browser can run, and their images.

Images lie beside a model, in `model.images.npz`. Those of a network of the laboratory come from the
data set that its `config.json` names: the program `repro.study.lab_images` reads them.
"""

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tb_plugin.export.names import folder_name
from tb_plugin.export.networks import (
    Images,
    Network,
    NetworkError,
    read_images,
    read_network,
    stored_images,
    stored_network,
)
from tb_plugin.lab import Lab
from tb_plugin.lab.lab import Listed

OWN, TRAINING = "", "training"  # which images a network is asked on
LONGEST_READING_S = 600.0  # for the images of all networks of the laboratory

Choices = dict[str, Images]  # OWN, and TRAINING where they differ


@dataclass
class LabData:
    """What is stored for the lab.

    data: content of each file. models: as the route of the models lists them. of_models: the file
    of each model. refused: the networks that a browser cannot run, and why.
    """

    data: dict[str, Any] = field(default_factory=dict)
    models: list[dict[str, Any]] = field(default_factory=list)
    of_models: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def lab_data(folder: Path) -> LabData:
    """The networks of a folder, below it too, as far as a browser can run them."""
    found = LabData()
    readable: list[tuple[Listed, Network]] = []
    for listed in Lab(folder, memory_mb=0).models():
        try:
            readable.append((listed, read_network(listed.path)))
        except NetworkError as error:
            found.refused[listed.name] = str(error)
    images = _images_of([listed.path for listed, _ in readable])
    for (listed, network), some in zip(readable, images, strict=True):
        try:
            _add(found, listed, network, some)
        except NetworkError as error:
            found.refused[listed.name] = str(error)
    return found


def _add(found: LabData, listed: Listed, network: Network, images: Choices | NetworkError) -> None:
    if isinstance(images, NetworkError):
        raise images
    stored = stored_network(network, hashlib.sha256(listed.path.read_bytes()).hexdigest())
    choices = {choice: stored_images(network, some) for choice, some in images.items()}
    for file, content, _ in choices.values():
        found.data[file] = content
    stored["asked"] = {choice: asked for choice, (_, _, asked) in choices.items()}
    file = f"lab/{folder_name(listed.id)}"
    found.data[file] = stored
    found.of_models[listed.id] = file
    found.models.append({"id": listed.id, "name": listed.name, "bytes": listed.size})


def _images_of(models: Sequence[Path]) -> list[Choices | NetworkError]:
    """The images of each model, in the order of the models, or why there are none."""
    beside = [model.with_suffix(".images.npz") for model in models]
    configs = [model.with_name("config.json") for model in models]
    of_laboratory = [
        config
        for file, config in zip(beside, configs, strict=True)
        if not file.is_file() and config.is_file()
    ]
    with tempfile.TemporaryDirectory() as folder:
        if of_laboratory:
            _read_images_of_laboratory(of_laboratory, Path(folder))
        found: list[Choices | NetworkError] = []
        for file, config in zip(beside, configs, strict=True):
            try:
                if file.is_file():
                    found.append({OWN: read_images(file)})
                elif config.is_file():
                    found.append(_choices(Path(folder), of_laboratory.index(config)))
                else:
                    raise NetworkError(f"there are no images beside it, in {file.name}")
            except NetworkError as error:
                found.append(error)
    return found


def _read_images_of_laboratory(configs: Sequence[Path], out: Path) -> None:
    command = [sys.executable, "-m", "repro.study.lab_images", str(out), *map(str, configs)]
    try:
        subprocess.run(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=LONGEST_READING_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return  # the files that are missing are told


def _choices(folder: Path, number: int) -> Choices:
    why = folder / f"{number}.txt"
    if why.is_file():
        raise NetworkError(why.read_text(encoding="utf-8"))
    own, training = folder / f"{number}.npz", folder / f"{number}.training.npz"
    if not training.is_file():
        raise NetworkError("the images that its config.json names cannot be read")
    return {OWN: read_images(own), TRAINING: read_images(training)}
