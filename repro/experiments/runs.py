"""The only owner of paths: what exists, what is missing, and writes that survive a kill.

    runs/networks/<run id>/     config.json  images.json  model.keras  training.npz  <sweep id>.npz
                                log.txt
                                snapshots/epoch-<number>.npz
                                seconds.json  failed-<step>.json  .lease-<number>.json
    runs/tb/<profile>/<figure>/<network>/       TensorBoard events
    runs/report/                index.html, figures, claims
    runs/figures/               what is kept of each figure, see `repro.paper.kept`

Every file is written under a temporary name in its folder, flushed to the disk and renamed, so a
file that exists is whole. Files of others stay, see `folders`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import platform
import re
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from repro.core import folders, results
from repro.core.checked import from_dict
from repro.core.folders import (
    Beside,
    RunsError,
    check_replaceable,
    folder_in,
    replace_directory,
    write_bytes,
)
from repro.core.kinds import KINDS, SweepResult
from repro.core.places import PARENT
from repro.core.results import Checkpoint, TrainingRecord
from repro.core.settings import SweepConfig, TrainConfig, to_dict
from repro.data.source import DataError, DataSource
from repro.experiments import leases

__all__ = [
    "TRAINING",
    "Beside",
    "DiskCheckpoints",
    "NetworkFolder",
    "Runs",
    "RunsError",
    "check_replaceable",
    "circumstances",
    "folder_in",
    "replace_directory",
    "write_bytes",
]

TRAINING = "training"  # name of the training step; a sweep step has its sweep_id
_CHECKPOINTS_KEPT = 2
_DIGEST_BYTES = 32
_CHECKPOINT = re.compile(r"(damaged-)?epoch-\d{6,}\.npz")


class Runs:
    """A folder of results.

    Args:
        root: created if missing.

    Raises:
        RunsError: the folder cannot be created or written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunsError(f"cannot make the folder {root}: {error.strerror}") from error
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise RunsError(f"no permission to write into {root}; choose another --runs_dir")

    @property
    def tensorboard(self) -> Path:
        """The log directory to open TensorBoard on."""
        return self.root / "tb"

    @property
    def report(self) -> Path:
        """The folder of the report."""
        return self.root / "report"

    @property
    def figures(self) -> Path:
        """The folder of what is kept of each figure."""
        return self.root / "figures"

    def network(self, config: TrainConfig) -> NetworkFolder:
        """The folder of one network."""
        return NetworkFolder(self.root / "networks" / config.run_id, config)

    def networks(self) -> Iterator[NetworkFolder]:
        """The folders of all networks that were ever begun here, of any plan."""
        for path in sorted((self.root / "networks").glob("*/config.json")):
            # Folders of older versions with settings that no longer exist are not counted.
            with contextlib.suppress(OSError, ValueError):
                settings = from_dict(TrainConfig, json.loads(path.read_bytes()))
                yield NetworkFolder(path.parent, settings)

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        """Locks the report and the summaries for one command at a time; a second command waits."""

        def say(held: leases.Held) -> None:
            print(f"Waiting for {held.holder or 'another command'}, which writes the report")

        with leases.wait_for_lease(self.root, say):
            yield


@dataclass(frozen=True)
class NetworkFolder:
    """Everything about one trained network."""

    path: Path
    config: TrainConfig

    @property
    def model(self) -> Path:
        return self.path / "model.keras"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def trained(self) -> bool:
        """Whether the training is done; the record is written last."""
        return self.model.is_file() and self._training.is_file()

    def checkpoints(self, note: Callable[[str], None] = print) -> DiskCheckpoints:
        """The checkpoints of the training; `note` is called with damaged ones."""
        return DiskCheckpoints(self.path / "checkpoints", note)

    @property
    def _training(self) -> Path:
        return self.path / "training.npz"

    def sweep_path(self, sweep: SweepConfig) -> Path:
        """The file of the sweep's result, whether or not it exists."""
        return self.path / f"{sweep.sweep_id}.npz"

    def missing(self, sweeps: tuple[SweepConfig, ...]) -> tuple[SweepConfig, ...]:
        """The sweeps that are not done."""
        return tuple(sweep for sweep in sweeps if not self.sweep_path(sweep).is_file())

    @property
    def holder(self) -> leases.Holder | None:
        """The living process that works on this network, on any machine, if there is one."""
        return leases.holder(self.path)

    @contextlib.contextmanager
    def prepare(self, on_lost: Callable[[], None] = lambda: None) -> Iterator[leases.Lease]:
        """Makes the folder, writes the config, and holds the folder inside the block.

        Args:
            on_lost: see `leases.lease`.

        Raises:
            leases.Held: another process works on the network.
        """
        with leases.lease(self.path, on_lost) as lease:
            for folder in (self.path, self.path / "checkpoints", self.path / "snapshots"):
                _remove_leftovers(folder)
            if self.trained:  # a kill may have come between the record and this
                self._remove_checkpoints()
            config = json.dumps(to_dict(self.config), indent=1, sort_keys=True) + "\n"
            write_bytes(self.path / "config.json", config.encode())
            yield lease

    def check_images(self, order: str, source: DataSource) -> None:
        """Notes on which images the network is trained; refuses others later. The caller must hold
        the folder.

        Networks have the same name whether their images stand in the order of TFDS or in another
        (`repro.data.source`), and a subset and the corrupted labels are drawn by position. Folders
        of earlier versions have no note; their images stood in the order of TFDS.

        Args:
            order: `Splits.order`; "" for images that are not compared.

        Raises:
            DataError: the network was begun on images in another order.
        """
        if not order:
            return
        before, words = self.images or ("", f"{source.name} in TFDS's order")
        begun = self.trained or self.checkpoints().newest_epoch > 0
        if before != order and begun and (before or not source.tfds_order):
            raise DataError(
                f"the network in {self.path} was begun on {words}; {source.describe()} gives it "
                "other images or labels. Give the first again (--data_dir), or another --runs_dir"
            )
        if before != order:
            facts = {"data": source.describe(), "order": order}
            write_bytes(self._images, (json.dumps(facts, indent=1) + "\n").encode())

    @property
    def images(self) -> tuple[str, str] | None:
        """`Splits.order` of the images trained on, and the words for their source; None in a folder
        of an earlier version, which has no note."""
        try:
            noted = json.loads(self._images.read_bytes())
            return str(noted["order"]), str(noted["data"])
        except (FileNotFoundError, ValueError, LookupError, TypeError):
            return None

    @property
    def _images(self) -> Path:
        return self.path / "images.json"

    def done(self, step: str) -> bool:
        """Whether the training (`TRAINING`) or the sweep of that name has its result."""
        return self.trained if step == TRAINING else (self.path / f"{step}.npz").is_file()

    def digest(self, step: str) -> str:
        """SHA-256 of the result of a step that is done, as hexadecimal digits; "" if its file
        cannot be read."""
        try:
            return hashlib.sha256((self.path / f"{step}.npz").read_bytes()).hexdigest()
        except OSError:
            return ""

    def failure(self, step: str) -> str | None:
        """Why a step failed at the last try; None if it did not fail or has succeeded since."""
        path = self._failure(step)
        try:
            return None if self.done(step) else str(json.loads(path.read_bytes())["reason"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            return f"unknown: {path} is damaged"

    def note_failure(self, step: str, reason: str) -> None:
        """Remembers a failure, so that the step is left alone until it is forgotten."""
        facts = {"reason": reason, "when": time.strftime("%Y-%m-%d %H:%M:%S")}
        write_bytes(self._failure(step), json.dumps(facts, indent=1).encode())

    def forget_failure(self, step: str) -> None:
        """Lets a failed step be tried again."""
        self._failure(step).unlink(missing_ok=True)

    def _failure(self, step: str) -> Path:
        return self.path / f"failed-{step}.json"

    def note_seconds(self, step: str, seconds: float, amount: float) -> None:
        """Notes how long a step took and how much work it was. The caller must hold the folder."""
        noted = self.seconds | {step: {"seconds": round(seconds, 3), "amount": amount}}
        write_bytes(self.path / "seconds.json", json.dumps(noted, indent=1).encode())

    @property
    def seconds(self) -> dict[str, dict[str, float]]:
        """Seconds and amount of work of each step that was timed."""
        try:
            return json.loads((self.path / "seconds.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return {}

    def last_words(self) -> str:
        """The last line of the log that is not empty."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - 4096))
                lines = file.read().decode(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def save_training(self, save_model: Callable[[Path], None], record: TrainingRecord) -> None:
        """Keeps the finished network; its checkpoints are no longer needed."""
        with folders.temporary_file(self.model) as temporary:
            save_model(temporary)
        write_bytes(self._training, results.to_bytes(record))
        self._remove_checkpoints()

    def _remove_checkpoints(self) -> None:
        folders.remove_files(
            self.path / "checkpoints",
            lambda name: bool(_CHECKPOINT.fullmatch(name)) or folders.is_temporary(name),
        )

    def load_training(self) -> TrainingRecord:
        """The record of the finished training."""
        return self._load(self._training, TrainingRecord)

    def load_snapshot(self, epoch: int) -> list[np.ndarray]:
        """The model's weights after so many epochs, in the order of `model.get_weights()`."""
        path = self.checkpoints().snapshot_path(epoch)
        try:
            with np.load(path, allow_pickle=False) as archive:
                return [archive[name] for name in sorted(archive.files)]
        except FileNotFoundError as error:
            raise RunsError(
                f"{path} is missing: the training did not keep epoch {epoch}, or ended before it"
            ) from error
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise RunsError(f"{path} is damaged ({error}); delete its network's folder") from error

    def save_sweep(self, sweep: SweepConfig, result: SweepResult) -> None:
        """Keeps what a sweep found."""
        write_bytes(self.sweep_path(sweep), results.to_bytes(result))

    def load_sweep(self, sweep: SweepConfig) -> SweepResult:
        """What a sweep found."""
        return self._load(self.sweep_path(sweep), KINDS[sweep.kind].result)

    @staticmethod
    def _load(path: Path, kind: type[results.R]) -> results.R:
        try:
            return results.from_bytes(path.read_bytes(), kind)
        except FileNotFoundError as error:
            raise RunsError(f"{path} is missing; run the command again to make it") from error
        except ValueError as error:
            raise RunsError(f"{path}: {error}; delete it and run the command again") from error


class DiskCheckpoints:
    """Checkpoints in a folder: written atomically, verified by checksum, the newest two kept.

    Snapshots, which stay when the training is over, lie in the folder "snapshots" beside it.
    """

    def __init__(self, directory: Path, note: Callable[[str], None] = print) -> None:
        self._directory = directory
        self._note = note
        self._snapshots = directory.with_name("snapshots")

    def snapshot_path(self, epoch: int) -> Path:
        """The file of the weights after so many epochs, whether or not it exists."""
        return self._snapshots / f"epoch-{epoch:06d}.npz"

    def save_snapshot(self, epoch: int, weights: Sequence[np.ndarray]) -> None:
        """Keeps the model's weights, in the order of `model.get_weights()`, for later sweeps."""
        buffer = io.BytesIO()
        arrays = {f"variable_{i:04d}": array for i, array in enumerate(weights)}
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        write_bytes(self.snapshot_path(epoch), buffer.getvalue())

    def save(self, checkpoint: Checkpoint) -> None:
        """Writes a checkpoint: the SHA-256 of a NumPy archive, then the archive."""
        self._directory.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        facts = {"history": checkpoint.history, "seconds": checkpoint.seconds}
        arrays = {f"variable_{i:04d}": array for i, array in enumerate(checkpoint.arrays)}
        np.savez(buffer, facts=np.array(json.dumps(facts)), **arrays)  # type: ignore[arg-type]
        content = buffer.getvalue()
        path = self._directory / f"epoch-{checkpoint.epoch:06d}.npz"
        write_bytes(path, hashlib.sha256(content).digest() + content)
        for old in self._files()[_CHECKPOINTS_KEPT:]:
            old.unlink()

    def latest(self) -> Checkpoint | None:
        """The newest whole checkpoint.

        `note` is called with damaged checkpoints; they are put aside and do not count among the
        checkpoints kept.
        """
        for path in self._files():
            epoch = int(path.stem.removeprefix("epoch-"))
            checkpoint = _read_checkpoint(path, epoch)
            if checkpoint is not None:
                return checkpoint
            path.replace(path.with_name(f"damaged-{path.name}"))
            rest = [int(other.stem.removeprefix("epoch-")) for other in self._files()]
            instead = f"that of epoch {rest[0]} is tried" if rest else "the training begins anew"
            self._note(f"the checkpoint of epoch {epoch} is damaged; {instead}")
        return None

    @property
    def newest_epoch(self) -> int:
        """Epochs done at the newest checkpoint, whole or not; 0 without one. Reads no file."""
        return max((int(path.stem.removeprefix("epoch-")) for path in self._files()), default=0)

    def _files(self) -> list[Path]:
        found = self._directory.glob("epoch-*.npz")
        return sorted((path for path in found if _CHECKPOINT.fullmatch(path.name)), reverse=True)


def _remove_leftovers(folder: Path) -> None:
    """Removes temporary files of killed processes, except those of leases."""
    if folder.is_symlink():
        return
    with contextlib.suppress(OSError):
        for path in list(folder.iterdir()):
            ours = folders.is_temporary(path.name) and not path.name.startswith(".lease")
            if ours and path.is_file() and not path.is_symlink():
                path.unlink(missing_ok=True)


def _read_checkpoint(path: Path, epoch: int) -> Checkpoint | None:
    """A checkpoint from its file; None if the file is cut short, changed or unreadable."""
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    digest, content = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        facts = json.loads(str(archive["facts"]))
        names = sorted(name for name in archive.files if name != "facts")
        arrays = [archive[name] for name in names]
    return Checkpoint(epoch, arrays, facts["history"], facts["seconds"])


def circumstances(device: str) -> dict[str, Any]:
    """What a result depends on besides its config: versions, device, commit, date."""
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    packages = ["tensorflow", "keras", "numpy", "tensorflow-datasets"]
    packages += ["jax", "jaxlib"] * (backend == "jax")
    return {
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages if _installed(name)},
        "backend": backend,
        "device": device,
        "processor": _processor(),
        "git_commit": _git_commit(),
        "date": time.strftime("%Y-%m-%d"),
    }


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _git_commit() -> str:
    try:
        found = subprocess.run(
            ["git", "-C", str(PARENT), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()
