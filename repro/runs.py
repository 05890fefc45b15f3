"""The only owner of paths: what exists, what is missing, and writes that survive a kill.

    runs/networks/<run id>/     config.json  model.keras  training.npz  <sweep id>.npz  log.txt
    runs/tb/<profile>/<figure>/<network>/       TensorBoard events
    runs/report/                index.html, figures, claims

Every file is written to a temporary name beside it, flushed to the disk and renamed, so a file
that exists is whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from repro import results
from repro.config import SweepConfig, TrainConfig, to_dict
from repro.results import AblationCurve, Checkpoint, TrainingRecord, UnitTable

_CHECKPOINTS_KEPT = 2
_DIGEST_BYTES = 32


class RunsError(RuntimeError):
    """A runs folder that cannot be used; the message says why."""


class Runs:
    """A folder of results.

    Args:
        root: created if missing.

    Raises:
        RunsError: it cannot be created or written to.
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

    def network(self, config: TrainConfig) -> NetworkFolder:
        """The folder of one network."""
        return NetworkFolder(self.root / "networks" / config.run_id, config)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the folder for one command at a time; the lock ends with the process.

        Raises:
            RunsError: another command holds it.
        """
        with (self.root / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunsError(
                    f"another command is at work in {self.root}; wait for it, or choose another "
                    "--runs_dir"
                ) from error
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

    @property
    def checkpoints(self) -> DiskCheckpoints:
        return DiskCheckpoints(self.path / "checkpoints")

    @property
    def _training(self) -> Path:
        return self.path / "training.npz"

    def sweep_path(self, sweep: SweepConfig) -> Path:
        """Where the sweep's result lies or will lie."""
        return self.path / f"{sweep.sweep_id}.npz"

    def missing(self, sweeps: tuple[SweepConfig, ...]) -> tuple[SweepConfig, ...]:
        """Those of the sweeps that are not done."""
        return tuple(sweep for sweep in sweeps if not self.sweep_path(sweep).is_file())

    @contextlib.contextmanager
    def prepare(self) -> Iterator[None]:
        """Makes the folder, notes the config, and holds a lock on it while inside."""
        self.path.mkdir(parents=True, exist_ok=True)
        # An orphan of a killed command lets go within moments; wait for it.
        with (self.path / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            config = json.dumps(to_dict(self.config), indent=1, sort_keys=True) + "\n"
            write_bytes(self.path / "config.json", config.encode())
            yield

    def save_training(self, save_model: Callable[[Path], None], record: TrainingRecord) -> None:
        """Keeps the finished network; its checkpoints are no longer needed."""
        with _temporary(self.model) as temporary:
            save_model(temporary)
        write_bytes(self._training, results.to_bytes(record))
        shutil.rmtree(self.path / "checkpoints", ignore_errors=True)

    def load_training(self) -> TrainingRecord:
        """The record of the finished training."""
        return self._load(self._training, TrainingRecord)

    def save_sweep(self, sweep: SweepConfig, result: AblationCurve | UnitTable) -> None:
        """Keeps what a sweep found."""
        write_bytes(self.sweep_path(sweep), results.to_bytes(result))

    def load_sweep(self, sweep: SweepConfig) -> AblationCurve | UnitTable:
        """What a sweep found."""
        path = self.sweep_path(sweep)
        if sweep.kind == AblationCurve.kind:
            return self._load(path, AblationCurve)
        return self._load(path, UnitTable)

    @staticmethod
    def _load(path: Path, kind: type[results.R]) -> results.R:
        try:
            return results.from_bytes(path.read_bytes(), kind)
        except FileNotFoundError as error:
            raise RunsError(f"{path} is missing; run the command again to make it") from error
        except ValueError as error:
            raise RunsError(f"{path}: {error}; delete it and run the command again") from error


class DiskCheckpoints:
    """Checkpoints in a folder: written atomically, verified by checksum, the newest two kept."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def save(self, checkpoint: Checkpoint) -> None:
        """Keeps a checkpoint: its SHA-256, then a NumPy archive."""
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
        """The newest whole checkpoint; damaged ones are reported and passed over."""
        for path in self._files():
            stored = path.read_bytes()
            digest, content = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
            if hashlib.sha256(content).digest() != digest:
                print(f"damaged checkpoint {path.name}: using the one before", flush=True)
                continue
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                facts = json.loads(str(archive["facts"]))
                names = sorted(name for name in archive.files if name != "facts")
                arrays = [archive[name] for name in names]
            epoch = int(path.stem.removeprefix("epoch-"))
            return Checkpoint(epoch, arrays, facts["history"], facts["seconds"])
        return None

    def _files(self) -> list[Path]:
        return sorted(self._directory.glob("epoch-*.npz"), reverse=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file so that it is either whole or not there, whatever happens meanwhile.

    Raises:
        RunsError: no space, no permission, or another fault of the disk.
    """
    with _temporary(path) as temporary:
        temporary.write_bytes(content)


def replace_directory(path: Path, fill: Callable[[Path], None]) -> None:
    """Makes a directory by filling a temporary one and renaming it, in place of an older one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        fill(temporary)
        shutil.rmtree(path, ignore_errors=True)
        temporary.rename(path)
    except OSError as error:
        raise _disk_fault(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A name beside path to write to; renamed to it when the block ends well."""
    # The suffix stays, because Keras chooses the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise _disk_fault(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _disk_fault(path: Path, error: OSError) -> RunsError:
    return RunsError(f"cannot write {path}: {error.strerror or error}")


def circumstances(device: str) -> dict[str, Any]:
    """What a result depends on besides its config: versions, device, commit, date."""
    packages = ("tensorflow", "keras", "numpy", "tensorflow-datasets")
    return {
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages if _installed(name)},
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
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
    checkout = Path(__file__).resolve().parent
    try:
        found = subprocess.run(
            ["git", "-C", str(checkout), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()
