"""`python -m repro`: which flags each command has, how they may be typed, and what is said to those
who mistype."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from repro.__main__ import COMMANDS, answer, asked
from repro.core.flags import Usage

ROOT = Path(__file__).parents[2]
LESION = ("lesion", "a.keras", "--data=dir:b")

# Every flag with its default, by the field of the request.
FIGURES: dict[str, Any] = {
    "profile": "quick", "only": (), "runs_dir": "runs", "model": "", "settings": (),
    "configs_dir": "", "data": "", "scale": "auto", "resize": "stretch", "data_dir": "",
    "offline": False,
}  # fmt: skip
RUN: dict[str, Any] = FIGURES | {
    "workers": 0, "executor": "local", "ray_address": "", "gpus_per_job": 0.0, "cpus_per_job": 1,
    "together": 0, "retry_failed": False, "checkpoint_seconds": 10.0,
}  # fmt: skip
OF_LESION: dict[str, Any] = {
    "data": "dir:b", "scale": "auto", "resize": "stretch", "data_dir": "", "offline": False,
    "model": "a.keras", "model_fn": "", "weights": "", "out": Path("runs/lesion"),
    "seconds": 600.0, "full": False, "layers": (), "list_only": False, "classes": "", "split": "",
    "from_logits": None,
    "seed": 0,
}  # fmt: skip


def request(*words: str) -> dict[str, Any]:
    """The request that these words make, by field."""
    found = vars(asked(words).request)
    return {name: value for name, value in found.items() if name != "typed"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("run",), RUN),
        (("--offline",), RUN | {"offline": True}),
        (("status",), FIGURES | {"workers": 0}),
        (("report",), FIGURES),
        (LESION, OF_LESION),
        (("archive", "mnist"), {"dataset": "mnist", "data_dir": "", "out": Path()}),
    ],
)
def test_a_command_has_these_flags_and_defaults(
    words: tuple[str, ...], expected: dict[str, Any]
) -> None:
    assert request(*words) == expected


@pytest.mark.parametrize(
    ("typed", "field", "value"),
    [
        (["--profile=desk"], "profile", "desk"),
        (["--profile", "desk"], "profile", "desk"),
        (["-profile=desk"], "profile", "desk"),
        (["--profile=paper", "--profile=desk"], "profile", "desk"),  # the last one counts
        (["--only=fig1a, fig7"], "only", ("fig1a", "fig7")),
        (["--only="], "only", ()),
        (["--set=a.b=[1, 2]", "--set", "c.d=-1"], "settings", ("a.b=[1, 2]", "c.d=-1")),
        (["--runs_dir", "-odd-"], "runs_dir", "-odd-"),
        (["--workers=3"], "workers", 3),
        (["--gpus_per_job", "0.25"], "gpus_per_job", 0.25),
        (["--offline"], "offline", True),
        (["--offline=true"], "offline", True),
        (["--offline", "--nooffline"], "offline", False),
        (["--offline=false"], "offline", False),
        (["--retry-failed"], "retry_failed", True),
        (["--retry_failed"], "retry_failed", True),
        (["--noretry-failed"], "retry_failed", False),
    ],
)
def test_flags_may_be_typed_as_in_other_programs_of_absl(
    typed: Sequence[str], field: str, value: Any
) -> None:
    found = request("run", *typed)
    assert found.pop(field) == value
    assert found == {name: one for name, one in RUN.items() if name != field}


@pytest.mark.parametrize(
    "words",
    [
        ["a.keras", "--data=dir:b", "--seed=3"],
        ["--data=dir:b", "--seed=3", "a.keras"],
        ["--data", "dir:b", "a.keras", "--seed", "3"],
        ["--data=dir:b", "--seed=3", "--", "a.keras"],
        ["--data=dir:b", "--seed=3", "--model=a.keras"],
    ],
)
def test_flags_stand_before_or_after_the_model(words: Sequence[str]) -> None:
    assert request("lesion", *words) == OF_LESION | {"seed": 3}


def test_the_aliases_with_dashes_stay() -> None:
    found = request("lesion", "--model-fn", "a:build", "--weights=w.h5", "--data=dir:b")
    assert found["model_fn"] == "a:build" and found["model"] == ""


def test_the_flags_of_a_run_may_stand_after_status_and_report() -> None:
    given = ("--workers=3", "--checkpoint_seconds=0", "--executor=ray", "--only=fig1a")
    of_status = FIGURES | {"only": ("fig1a",), "workers": 3}
    assert request("status", *given) == of_status
    assert request("report", *given) == FIGURES | {"only": ("fig1a",)}


def test_flags_of_absl_stay(tmp_path: Path) -> None:
    assert request("run", "-v", "0", "--logtostderr", "--undefok=x", "--x=1") == RUN
    (tmp_path / "flags").write_text("--profile=desk\n--offline\n")
    found = request("run", f"--flagfile={tmp_path / 'flags'}")
    assert found == RUN | {"profile": "desk", "offline": True}


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (
            ["rum"],
            2,
            "unknown command 'rum'; expected run, status, report, lesion, archive. Did you mean",
        ),
        (["run", "surplus"], 2, "unexpected argument 'surplus'; flags begin with --"),
        (["run", ""], 2, "unexpected argument ''; flags begin with --"),
        ([*LESION, "b.keras"], 2, "unexpected argument 'b.keras'"),
        (["run", "--profle=desk"], 1, "unknown flag --profle. Did you mean --profile?"),
        (["run", "--prof=desk"], 1, "unknown flag --prof. Did you mean --profile?"),
        ([*LESION, "--scal=255"], 1, "unknown flag --scal. Did you mean --scale?"),
        (
            [*LESION, "--profil=desk"],
            1,
            "Did you mean --profile, a flag of run, status and report?",
        ),
        (["run", "--zzz"], 1, "unknown flag --zzz; python -m repro run --help lists those of run"),
        (["run", "--budget=2h"], 1, "--budget is a flag of lesion, not of run"),
        (["status", "--nofull"], 1, "--nofull is a flag of lesion, not of status"),
        ([*LESION, "--retry-failed"], 1, "--retry-failed is a flag of run, not of lesion"),
        (["run", "--profile"], 1, "--profile needs a value"),
        (["run", "--profile=quik"], 1, "expected one of quick, desk, paper, got 'quik'. Did you"),
        (["run", "--workers=-1"], 1, "--workers: expected a whole number of at least 0, got '-1'"),
        (["run", "--workers", "x"], 1, "--workers: expected a whole number of at least 0, got 'x'"),
        (["run", "--cpus_per_job=0"], 1, "--cpus_per_job: expected a whole number of at least 1"),
        (["run", "--gpus_per_job=nan"], 1, "--gpus_per_job: expected a number of at least 0"),
        (["run", "--offline=maybe"], 1, "--offline: expected true or false, got 'maybe'"),
        (["run", "--noprofile"], 1, "unknown flag --noprofile. Did you mean --profile?"),
        (["run", "--flagfile=/nowhere"], 1, "/nowhere"),
        ([*LESION, "--split=half"], 1, "--split: expected one of test, train, got 'half'"),
        ([*LESION, "--budget=soon"], 1, "--budget: expected a time such as 90s"),
        ([*LESION, "--scale=double"], 2, "--scale must be one of auto, 255"),
        (["run", "--resize=half"], 2, "--resize must be one of stretch, crop, pad, got 'half'"),
    ],
)
def test_who_mistypes_is_told_in_a_sentence(
    words: Sequence[str], status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(words) == status
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("repro: ") and told.err.count("\n") == 1
    assert sentence in told.err


def helped(*words: str) -> str:
    """What is printed where help is asked for, in one line."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "repro", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0 and "argparse" in loaded
    heavy = ("tensorflow", "keras", "jax", "tensorflow_datasets", "matplotlib")
    assert not loaded.intersection(heavy)
    return " ".join(done.stdout.split())


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands_and_loads_nothing_heavy(words: Sequence[str]) -> None:
    said = helped(*words)
    assert all(f"{name} {one.about}" in said for name, one in COMMANDS.items())


def test_the_help_of_a_command_shows_its_own_flags() -> None:
    of_lesion, of_run, of_report = (helped(name, "--help") for name in ("lesion", "run", "report"))
    assert "--budget BUDGET" in of_lesion and "--list, --nolist" in of_lesion
    assert "--profile" not in of_lesion and "--runs_dir" not in of_lesion
    assert "--profile PROFILE" in of_run and "(default: quick)" in of_run
    assert "--budget" not in of_run
    assert "--only" in of_report and "--executor" not in of_report


def test_a_request_with_flags_that_contradict_each_other_cannot_be_made() -> None:
    from repro.study.request import LesionRequest

    with pytest.raises(Usage, match="lesion needs images"):
        LesionRequest(model="a.keras")
