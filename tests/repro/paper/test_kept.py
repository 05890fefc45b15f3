"""A figure that is done is neither read nor drawn again, and no older one is shown in its place."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import repro
from repro.core.settings import FigureConfig
from repro.experiments import collect
from repro.experiments.runs import Runs, RunsError
from repro.paper import command, kept, page
from repro.paper.figure_report import figure_report
from repro.paper.request import ReportRequest
from tests.helpers import synthetic

# Figs. 1a and 2a are of the same networks, Fig. 7a is of others.
FIGURES = ("fig1a", "fig2a", "fig7a")


def request(runs: Path) -> ReportRequest:
    return ReportRequest(only=FIGURES, runs_dir=str(runs), offline=True)


def configs(runs: Path) -> dict[str, FigureConfig]:
    figures, _ = request(runs).figures()
    return {figure.name: figure for figure in figures}


def fill(runs: Path, figure: FigureConfig) -> None:
    """Writes made-up results of a figure as workers do."""
    for network in synthetic.figure_result(figure).networks:
        folder = Runs(runs).network(network.config)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.save_training(lambda path: path.write_bytes(b"a model"), network.training)
        for name, sweep in figure.lesions(network.config):
            folder.save_sweep(sweep, network.sweeps[name])
            folder.note_seconds(sweep.sweep_id, 7.0, 1.0)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("kept") / "runs"
    for figure in configs(runs).values():
        fill(runs, figure)
    assert command.report(request(runs)) == 0
    return runs


@pytest.fixture
def runs(reported: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(reported, tmp_path / "runs")
    return tmp_path / "runs"


def files(runs: Path) -> Iterator[Path]:
    found = (path for path in runs.rglob("*") if path.is_file())
    return (path for path in found if not path.name.startswith(".lease"))


def written(runs: Path) -> dict[str, tuple[int, int]]:
    """Each file with what changes when it is written again."""
    state = ((path, path.stat()) for path in files(runs))
    return {
        path.relative_to(runs).as_posix(): (found.st_ino, found.st_mtime_ns)
        for path, found in state
    }


def contents(runs: Path) -> dict[str, bytes]:
    return {path.relative_to(runs).as_posix(): path.read_bytes() for path in files(runs)}


def changed(runs: Path) -> set[str]:
    """The files that another report writes or removes."""
    before = written(runs)
    assert command.report(request(runs)) == 0
    after = written(runs)
    return {name for name in before | after if before.get(name) != after.get(name)}


def test_where_all_is_done_no_file_is_written(runs: Path) -> None:
    assert changed(runs) == set()


def test_a_changed_result_changes_the_figures_of_its_network_and_no_other(runs: Path) -> None:
    figure = configs(runs)["fig2a"]
    network = figure.networks()[0]
    name, sweep = figure.lesions(network)[0]
    folder = Runs(runs).network(network)
    found = folder.load_sweep(sweep)
    folder.save_sweep(sweep, dataclasses.replace(found, n_correct=found.n_correct // 2))
    old = contents(runs)
    again = changed(runs)
    shown = {one for one in again if one.startswith("report/fig")}
    assert shown == {"report/fig2a.png", "report/fig2a.svg", "report/fig2a_noise.csv"}
    assert {one.split("-")[0] for one in again if one.startswith("figures/")} == {"figures/fig2a"}
    assert b"svg" in old["report/fig2a.svg"]
    assert old["report/fig2a.svg"] != contents(runs)["report/fig2a.svg"]
    # Nothing of the former figure stays behind.
    assert len(list((runs / "figures").glob("fig2a-*"))) == 1


def test_another_training_changes_every_figure_of_its_network(runs: Path) -> None:
    folder = Runs(runs).network(configs(runs)["fig1a"].networks()[0])
    training = dataclasses.replace(folder.load_training(), test_accuracy=0.5)
    folder.save_training(lambda path: path.write_bytes(b"a model"), training)
    again = {one.split("-")[0] for one in changed(runs) if one.startswith("figures/")}
    assert again == {"figures/fig1a", "figures/fig2a"}


def test_a_network_that_is_no_longer_done_is_left_out(runs: Path) -> None:
    network = configs(runs)["fig7a"].networks()[0]
    Runs(runs).network(network).model.unlink()
    before = contents(runs)
    assert command.report(request(runs)) == 1
    after = contents(runs)
    assert network.run_id.encode() in before["report/fig7a_units.csv"]
    assert network.run_id.encode() not in after["report/fig7a_units.csv"]
    assert before["report/fig1a.png"] == after["report/fig1a.png"]


@pytest.mark.parametrize("name", ["fig1a.png", "fig7a.svg", "fig2a_noise.csv", "index.html"])
def test_a_deleted_file_comes_back_as_it_was(runs: Path, name: str) -> None:
    before = contents(runs)
    (runs / "report" / name).unlink()
    assert changed(runs) - {"report/.written-by-repro.json"} == {f"report/{name}"}
    assert contents(runs) == before


@pytest.mark.parametrize("left", [0, 1000])
@pytest.mark.parametrize("name", ["fig1a.png", "fig7a.svg", "fig2a_noise.csv"])
def test_a_file_that_is_cut_short_comes_back_as_it_was(runs: Path, name: str, left: int) -> None:
    before = contents(runs)
    path = runs / "report" / name
    path.write_bytes(path.read_bytes()[:left])
    assert changed(runs) - {"report/.written-by-repro.json"} == {f"report/{name}"}
    assert path.read_bytes() == before[f"report/{name}"]


def test_a_picture_of_the_users_own_stays(runs: Path) -> None:
    own = runs / "report" / "fig1a.png"
    own.write_bytes(b"a picture of mine")
    with pytest.raises(RunsError, match=r"holds fig1a\.png, which would be overwritten"):
        command.report(request(runs))
    assert own.read_bytes() == b"a picture of mine"


@pytest.mark.parametrize(
    "damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"PK")]
)
def test_a_damaged_kept_figure_is_made_anew(runs: Path, damage) -> None:
    before = contents(runs)
    (path,) = (runs / "figures").glob("fig7a-*.zip")
    damage(path)
    assert command.report(request(runs)) == 0
    assert contents(runs) == before


def test_a_kept_figure_that_is_cut_short_is_made_anew(runs: Path) -> None:
    before = contents(runs)
    (path,) = (runs / "figures").glob("fig1a-*.zip")
    path.write_bytes(path.read_bytes()[:-2000])
    assert command.report(request(runs)) == 0
    assert contents(runs) == before


def test_other_words_or_settings_are_another_figure(runs: Path) -> None:
    figure = configs(runs)["fig1a"]
    given = (figure, collect.digest(figure, Runs(runs)), "mnist", "./run_all.sh", "code")
    name = kept.name_of(*given)
    assert name == kept.name_of(*given)
    other = dataclasses.replace(figure, title="Another title")
    others = {
        kept.name_of(*(other, *given[1:])),
        *(kept.name_of(*given[:place], "other", *given[place + 1 :]) for place in range(1, 5)),
    }
    assert len(others) == 5 and name not in others


@pytest.mark.parametrize(
    ("module", "counts"),
    [
        ("display/plots.py", True),
        ("paper/panels.py", True),
        ("paper/rules_units.py", True),
        ("core/metrics.py", True),
        ("core/kinds/single_unit.py", True),
        ("experiments/collect.py", True),
        ("study/page.py", False),
        ("paper/templates/report.html", False),
    ],
)
def test_changed_code_of_what_is_drawn_or_judged_is_another_figure(
    tmp_path: Path, module: str, counts: bool
) -> None:
    package = Path(repro.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__")
    copy = Path(shutil.copytree(package, tmp_path / "repro", ignore=ignored))
    before = kept.code_digest(copy)
    assert before == kept.code_digest(package)
    assert (copy / module).is_file()
    with (copy / module).open("a") as file:
        file.write("\n")
    kept.code_digest.cache_clear()
    assert (kept.code_digest(copy) != before) == counts


def test_a_kept_figure_says_what_the_new_one_said(runs: Path) -> None:
    for figure in configs(runs).values():
        made = figure_report(synthetic.figure_result(figure), 75.0)
        back = kept.FigureReport.from_bytes(made.to_bytes(), figure)
        assert page.render([back]) == page.render([made])
        assert back.verdicts == made.verdicts and back.others == made.others
        assert back.files == made.files and back.to_bytes() == made.to_bytes()


def test_where_all_is_done_no_framework_is_imported(runs: Path) -> None:
    words = ["report", f"--only={','.join(FIGURES)}", f"--runs_dir={runs}", "--offline"]
    lines = (
        "import sys",
        "from repro.__main__ import answer",
        f"status = answer({words!r})",
        "heavy = {'tensorflow', 'keras', 'jax', 'torch'} & set(sys.modules)",
        "sys.exit(f'{status} {heavy}' if status or heavy else 0)",
    )
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert "C1 SUPPORTED" in done.stdout
    # Seconds of a processor, which do not depend on what else the machine does.
    assert os.times().children_user - before.children_user < 10
