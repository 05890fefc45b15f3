"""Nothing of the user's is ever lost, wherever something is written or replaced."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from absl import flags

from repro.core import folders
from repro.core.folders import MARKER, Beside
from repro.core.results import Checkpoint, TrainingRecord
from repro.core.settings import TrainConfig
from repro.experiments import runs
from repro.experiments.runs import Runs, RunsError
from tests.helpers.planted import plant, snapshot


def write_model(content: bytes) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        (folder / "model.keras").write_bytes(content)
        (folder / "part").mkdir()
        (folder / "part" / "images.npz").write_bytes(b"images" + content)

    return fill


# --- Folders that are replaced -----------------------------------------------------------------


# rafaelpadilla/Object-Detection-Metrics#83, 2shou/TextGrocery#30, androguard/androguard#768
def test_a_folder_with_anything_of_the_users_is_refused_and_keeps_every_byte(
    tmp_path: Path,
) -> None:
    project = tmp_path / "project"
    plant(project, tmp_path / "elsewhere")
    before = snapshot(tmp_path)
    with pytest.raises(RunsError, match=r"expected a folder .* holds .*; name another folder") as e:
        runs.replace_directory(project, write_model(b"1"))
    assert snapshot(tmp_path) == before
    # The cure that the sentence names works.
    runs.replace_directory(Path(str(e.value).rpartition("such as ")[2]), write_model(b"1"))
    after = snapshot(tmp_path)
    assert {key: after[key] for key in before} == before


PLANTED = {
    "file": lambda at: (at / "notes.txt").write_text("mine"),
    "hidden file": lambda at: (at / ".notes").write_text("mine"),
    "empty folder": lambda at: (at / "mine").mkdir(),
    "hidden folder": lambda at: (at / ".git").mkdir(),
    "file in our folder": lambda at: (at / "part" / "mine.txt").write_text("mine"),
    "link to a file": lambda at: (at / "link").symlink_to("/etc/hostname"),
    "link to a folder": lambda at: (at / "link").symlink_to("/etc"),
    "link to nothing": lambda at: (at / "link").symlink_to("nothing"),
    "our file changed": lambda at: (at / "model.keras").write_bytes(b"trained further"),
    "our file as a link": lambda at: (
        (at / "model.keras").rename(at.parent / "moved"),
        (at / "model.keras").symlink_to(at.parent / "moved"),
    ),
    "pipe": lambda at: os.mkfifo(at / "pipe"),
    "marker changed": lambda at: (at / MARKER).write_text("{}"),
    "marker of another form": lambda at: (at / MARKER).write_text('{"files": 3}'),
    "marker gone": lambda at: (at / MARKER).unlink(),
}


@pytest.mark.parametrize("change", PLANTED.values(), ids=PLANTED)
def test_a_folder_of_ours_is_replaced_until_something_comes_into_it(
    tmp_path: Path, change: Callable[[Path], Any]
) -> None:
    place = tmp_path / "out" / "study"
    for content in (b"1", b"2"):
        runs.replace_directory(place, write_model(content))
        assert (place / "model.keras").read_bytes() == content
    assert [path.name for path in place.parent.iterdir()] == ["study"]  # nothing left beside
    change(place)
    if (place / "pipe").exists():
        with pytest.raises(RunsError, match="pipe"):
            runs.replace_directory(place, write_model(b"3"))
        return
    before = snapshot(tmp_path)
    for act in (lambda: runs.replace_directory(place, write_model(b"3")), lambda: check(place)):
        with pytest.raises(RunsError, match="would be lost; name another folder"):
            act()
        assert snapshot(tmp_path) == before


def check(place: Path) -> None:
    runs.check_replaceable(place)


def test_an_empty_folder_and_a_new_one_deep_down_are_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "a/b/c", "a/../d", "x" * 200):
        runs.replace_directory(tmp_path / name, write_model(b"1"))
        assert (tmp_path / name / "part" / "images.npz").read_bytes() == b"images1"


@pytest.mark.parametrize("name", [".", "", "..", "sub/..", "sub/../.", "./"])
def test_the_current_folder_and_those_around_it_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    here = tmp_path / "around" / "here"
    (here / "sub").mkdir(parents=True)
    monkeypatch.chdir(here)
    before = snapshot(tmp_path)
    with pytest.raises(RunsError, match=r"(is|holds) the current folder; name one in it") as e:
        runs.replace_directory(Path(name), write_model(b"1"))
    assert snapshot(tmp_path) == before
    runs.replace_directory(Path(str(e.value).rpartition("such as ")[2]), write_model(b"1"))


def test_what_is_no_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    (tmp_path / "nowhere").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = snapshot(tmp_path)
    for name, sentence in (
        ("file", "is a file; name another folder"),
        ("link", "is a link to .*folder; name another folder"),
        ("nowhere", "is a link to .*nothing; name another"),
        ("loop", "is a link to"),
        ("file/study", "file is a file; name another folder"),
        ("nowhere/study", "is a link to nothing; name another folder"),
        ("a\0b", "cannot write .*null byte.*; .*name another place"),
        ("y" * 300, "cannot write .*too long; .*name another place"),
        ("loop/x", "cannot write .*symbolic links; .*name another place"),
    ):
        with pytest.raises(RunsError, match=sentence):
            runs.replace_directory(tmp_path / name, write_model(b"1"))
        with pytest.raises(RunsError, match=sentence):
            runs.check_replaceable(tmp_path / name)
        assert snapshot(tmp_path) == before, name
    with pytest.raises(RunsError, match=r"cannot write into /proc: .*; get the permission"):
        runs.replace_directory(Path("/proc/study"), write_model(b"1"))


def test_where_nothing_can_be_written_it_is_said_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)
    for act in (
        lambda: runs.replace_directory(tmp_path / "a", lambda _: pytest.fail("worked")),
        lambda: Beside(tmp_path / "a", ["index.html"]),
    ):
        with pytest.raises(RunsError, match="Permission denied; get the permission, or name"):
            act()


@pytest.mark.parametrize("fails_at", ["fill", "first rename", "second rename", "interrupt"])
def test_a_failure_in_between_leaves_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: str
) -> None:
    place = tmp_path / "study"
    runs.replace_directory(place, write_model(b"old"))
    before, rename, calls = snapshot(tmp_path), Path.rename, []

    def renamed(self: Path, target: Path) -> Any:
        calls.append(target)
        if len(calls) == {"first rename": 1, "second rename": 2, "interrupt": 2}[fails_at]:
            raise KeyboardInterrupt if fails_at == "interrupt" else OSError(28, "No space left")
        return rename(self, target)

    def fill(folder: Path) -> None:
        write_model(b"new")(folder)
        if fails_at == "fill":
            raise OSError(28, "No space left")

    if fails_at != "fill":
        monkeypatch.setattr(Path, "rename", renamed)
    with pytest.raises(KeyboardInterrupt if fails_at == "interrupt" else RunsError):
        runs.replace_directory(place, fill)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("killed_at", [1, 2, 3])
def test_a_kill_in_between_loses_neither(tmp_path: Path, killed_at: int) -> None:
    """Before the first rename, between the two, and before the old folder is removed."""
    child = f"""
import os, pathlib, shutil
from pathlib import Path
from repro.core import folders
place = Path({str(tmp_path / "study")!r})
folders.replace_directory(place, lambda at: (at / "model").write_text("old") and None)
calls = []
rename, removed = Path.rename, folders._remove_ours
def renamed(self, target):
    calls.append(target)
    if len(calls) == {killed_at}:
        os._exit(9)
    return rename(self, target)
def remove(folder):
    if {killed_at} == 3:
        os._exit(9)
    removed(folder)
Path.rename, folders._remove_ours = renamed, remove
folders.replace_directory(place, lambda at: (at / "model").write_text("new") and None)
"""
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", child], env=os.environ | {"PYTHONPATH": str(root)})
    assert done.returncode == 9
    contents = {path.read_text() for path in tmp_path.rglob("model")}
    assert contents == {"old", "new"}
    runs.replace_directory(tmp_path / "study", lambda at: (at / "model").write_text("3") and None)
    assert (tmp_path / "study" / "model").read_text() == "3"
    # What was put aside and is all ours is removed by the next one.
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".old")]


def test_a_file_that_comes_while_the_new_folder_is_filled_is_kept(tmp_path: Path) -> None:
    place = tmp_path / "study"
    runs.replace_directory(place, write_model(b"old"))

    def fill(folder: Path) -> None:
        write_model(b"new")(folder)
        (place / "notes.txt").write_text("mine")

    with pytest.raises(RunsError, match=r"meanwhile notes.txt came into it; name another folder"):
        runs.replace_directory(place, fill)
    assert (place / "notes.txt").read_text() == "mine"
    assert (place / "model.keras").read_bytes() == b"old"


NAMES = ["", ".", "..", "a/../..", "../x", "/tmp/study", "a/../b", "a\0b", "/"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_runs_lead_nowhere_else(name: str) -> None:
    with pytest.raises(RunsError, match="expected the name of a folder in logs, got .*; give one"):
        runs.folder_in(Path("logs"), name)


# --- What an earlier version wrote, without a marker -------------------------------------------


def older_study(folder: Path) -> None:
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        archive.writestr("config.json", '{"class_name": "repro>AblationMask"}')
    np.savez_compressed(folder / "model.images.npz", images=np.ones(3), labels=np.ones(3))


def older_run(folder: Path) -> None:
    folder.mkdir(parents=True)
    name = "events.out.tfevents.1700000000.host.name.7.0.single_directions"
    (folder / name).write_bytes(b"..lesion/units..")


def older_network(folder: Path) -> None:
    older_run(folder)
    (folder / "source.txt").write_text("mnist-mlp-0123456789 single-abc\n")


OLDER = (older_study, older_run, older_network)


@pytest.mark.parametrize("write", OLDER)
def test_what_an_earlier_version_wrote_is_replaced_but_not_with_more_in_it(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    write(tmp_path / "old")
    runs.replace_directory(tmp_path / "old", write_model(b"new"))
    assert (tmp_path / "old" / "model.keras").read_bytes() == b"new"
    for change in ("file", "hidden folder", "link to a folder"):
        write(tmp_path / change)
        PLANTED[change](tmp_path / change)
        before = snapshot(tmp_path)
        with pytest.raises(RunsError, match="would be lost"):
            runs.replace_directory(tmp_path / change, write_model(b"new"))
        assert snapshot(tmp_path) == before


def test_files_of_the_same_names_that_we_did_not_write_are_the_users(tmp_path: Path) -> None:
    own, training, trained = tmp_path / "own", tmp_path / "training", tmp_path / "trained"
    older_study(own)
    with zipfile.ZipFile(own / "model.keras", "w") as archive:
        archive.writestr("config.json", '{"class_name": "Dense"}')  # a network without masks
    training.mkdir()
    (training / "events.out.tfevents.1700000000.host.7.0.v2").write_bytes(b"..lesion/units..")
    older_run(trained)
    next(trained.iterdir()).write_bytes(b"my/own/table")  # by the plugin's public writer
    before = snapshot(tmp_path)
    for folder in (own, training, trained):
        with pytest.raises(RunsError, match="would be lost"):
            runs.replace_directory(folder, write_model(b"new"))
    assert snapshot(tmp_path) == before


# --- Files beside others -----------------------------------------------------------------------


def test_a_report_goes_beside_what_is_there_and_over_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    plant(folder, tmp_path / "elsewhere")
    before = snapshot(tmp_path)
    files = Beside(folder, ["index.html", "summary.json"])
    for content in (b"1", b"2"):
        files.write(folder / "index.html", content)
        Beside(folder, ["index.html"]).write(folder / "summary.json", content)
    after = snapshot(tmp_path)
    assert {key: after[key] for key in before} == before
    assert after["site/index.html"] == after["site/summary.json"] == b"2"


@pytest.mark.parametrize("own", ["file", "link", "broken link", "folder", "changed", "marker"])
def test_a_file_of_the_users_of_the_same_name_is_refused_before_anything(
    tmp_path: Path, own: str
) -> None:
    folder, path = tmp_path / "site", tmp_path / "site" / "index.html"
    folder.mkdir()
    (tmp_path / "target").write_text("mine")
    if own == "changed":
        Beside(folder).write(path, b"ours")
        path.write_text("ours, and a word of mine")
    elif own == "marker":
        (folder / MARKER).write_text("mine")
    elif own == "folder":
        path.mkdir()
    elif own == "file":
        path.write_text("my arXiv.org/abs/1803.06959 page, arxiv.org/abs/1803.06959")
    else:
        path.symlink_to(tmp_path / ("target" if own == "link" else "nothing"))
    before = snapshot(tmp_path)
    for act in (
        lambda: Beside(folder, ["index.html"]),
        lambda: Beside(folder).write(path, b"new"),
    ):
        with pytest.raises(RunsError, match=r"holds .*, which would be overwritten; name another"):
            act()
        assert snapshot(tmp_path) == before


def test_a_report_of_an_earlier_version_is_written_over(tmp_path: Path) -> None:
    page = '<title>mlp: lesions</title>\n<a href="https://arxiv.org/abs/1803.06959">'
    (tmp_path / "index.html").write_text(page)
    (tmp_path / "units.csv").write_text("layer,unit\n")
    Beside(tmp_path, ["index.html", "units.csv"]).write(tmp_path / "units.csv", b"new")
    Beside(tmp_path, ["units.csv"]).write(tmp_path / "units.csv", b"newer")
    assert (tmp_path / "units.csv").read_bytes() == b"newer"


def test_after_one_figure_of_an_earlier_report_the_others_can_be_written_too(
    tmp_path: Path,
) -> None:
    page = '<title>Single directions: report</title>\n<a href="https://arxiv.org/abs/1803.06959">'
    older = ("fig1a.png", "fig1a.svg", "fig1a_curves.csv", "claims.csv", "fig7a_units.csv")
    (tmp_path / "index.html").write_text(page)
    for name in (*older, "notes.csv", "photo.png"):
        (tmp_path / name).write_text("of before")
    files = Beside(tmp_path, ["fig7a_units.csv", "index.html"])
    for name in ("fig7a_units.csv", "index.html"):
        files.write(tmp_path / name, b"new")
    files = Beside(tmp_path, older)
    for name in older:
        files.write(tmp_path / name, b"newer")
    for name in ("notes.csv", "photo.png"):
        with pytest.raises(RunsError, match="would be overwritten"):
            Beside(tmp_path, [name])


def test_a_report_cut_off_between_list_and_file_can_be_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write_bytes = tmp_path / "index.html", folders.write_bytes
    Beside(tmp_path).write(path, b"old")

    def cut_off(at: Path, content: bytes) -> None:
        if at == path:
            raise KeyboardInterrupt
        write_bytes(at, content)

    monkeypatch.setattr(folders, "write_bytes", cut_off)
    with pytest.raises(KeyboardInterrupt):
        Beside(tmp_path).write(path, b"new")
    monkeypatch.undo()
    Beside(tmp_path, ["index.html"]).write(path, b"newer")
    assert path.read_bytes() == b"newer"


def test_a_report_survives_that_the_folder_around_it_is_replaced(tmp_path: Path) -> None:
    place = tmp_path / "out"
    runs.replace_directory(place, write_model(b"1"))
    Beside(place).write(place / "index.html", b"page")
    runs.replace_directory(place, write_model(b"2"))
    assert (place / "index.html").read_bytes() == b"page"
    runs.replace_directory(place, write_model(b"3"))
    Beside(place, ["index.html"]).write(place / "index.html", b"page 2")
    assert (place / "model.keras").read_bytes() == b"3"


# --- A runs folder -----------------------------------------------------------------------------


@pytest.fixture
def network(tmp_path: Path) -> Iterator[runs.NetworkFolder]:
    yield Runs(tmp_path / "runs").network(TrainConfig("mnist", "mlp", (8,)))


def test_training_in_a_runs_folder_removes_only_its_own_files(
    tmp_path: Path, network: runs.NetworkFolder
) -> None:
    checkpoints = network.path / "checkpoints"
    for folder in (network.path, checkpoints, network.path / "snapshots", Runs(tmp_path).root):
        plant(folder, tmp_path / "elsewhere")
        for name in (".notes.tmp.txt", ".lease-mine.json", ".lease.mine.tmp", ".x.tmp"):
            (folder / name).write_text("mine")
    for name in ("epoch-000001-copy.npz", "epoch-best.npz"):
        (checkpoints / name).write_text("mine")
    before = snapshot(tmp_path)
    leftover = network.path / f".model.{'0' * 32}.tmp.keras"
    leftover.write_text("cut off")
    with network.prepare():
        store = network.checkpoints()
        for epoch in (1, 2, 3):
            store.save(Checkpoint(epoch, [np.zeros(1)], [{"epoch": epoch}] * epoch, 1.0))
        assert store.newest_epoch == 3
        record = TrainingRecord(({"epoch": 1, "loss": 0.5},), 10, 5, 0.9, 0.1, 0.8, 0.2, {"a": 1})
        network.save_training(lambda path: path.write_bytes(b"model") and None, record)
    after = snapshot(tmp_path)
    assert {key: after.get(key) for key in before} == before
    assert not leftover.exists() and not list(checkpoints.glob("epoch-00000?.npz"))


def test_checkpoints_go_away_with_their_folder_where_it_holds_nothing_else(
    network: runs.NetworkFolder,
) -> None:
    network.checkpoints().save(Checkpoint(1, [np.zeros(1)], [{"epoch": 1}], 1.0))
    record = TrainingRecord(({"epoch": 1, "loss": 0.5},), 10, 5, 0.9, 0.1, 0.8, 0.2, {"a": 1})
    network.save_training(lambda path: path.write_bytes(b"model") and None, record)
    assert not (network.path / "checkpoints").exists() and network.trained


def test_a_linked_folder_of_checkpoints_is_not_cleared(
    tmp_path: Path, network: runs.NetworkFolder
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "epoch-000001.npz").write_text("mine")
    network.path.mkdir(parents=True)
    (network.path / "checkpoints").symlink_to(mine)
    folders.remove_files(network.path / "checkpoints", lambda name: True)
    assert (mine / "epoch-000001.npz").read_text() == "mine"


def test_the_marker_says_what_it_is(tmp_path: Path) -> None:
    runs.replace_directory(tmp_path / "study", write_model(b"1"))
    found = json.loads((tmp_path / "study" / MARKER).read_bytes())
    assert "repro wrote" in found["about"]
    assert sorted(found["files"]) == ["model.keras", "part/images.npz"]


# --- Programs beside the laboratory ------------------------------------------------------------


def test_a_benchmark_writes_its_numbers_over_nothing_else(tmp_path: Path) -> None:
    from absl.testing import flagsaver

    from benchmarks import options

    path = tmp_path / "notes.json"
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["benchmarks"])
    for mine in ("my notes", "[1]", '{"mine": 1}'):
        path.write_text(mine)
        with flagsaver.flagsaver(json=str(path)):
            with pytest.raises(SystemExit, match="no numbers of benchmarks; name another file"):
                options.answered(["benchmark"], str)
        assert path.read_text() == mine
    for ours in ('{"machine": {}, "tasks": {}}', '{"tasks": {}}'):
        path.write_text(ours)
        with flagsaver.flagsaver(json=str(path)):
            assert not options.answered(["benchmark"], str)
    with flagsaver.flagsaver(json=str(tmp_path / "new.json")):
        assert not options.answered(["benchmark"], str)


@pytest.mark.parametrize("what", ["project", "file"])
def test_the_demo_of_the_tab_leaves_what_is_there(
    tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from tb_plugin import demo

    place = tmp_path / "logs"
    if what == "project":
        plant(place, tmp_path / "elsewhere")
    else:
        place.write_text("mine")
    before = snapshot(tmp_path)
    assert demo.main([str(place)]) == 1
    assert "name a new directory" in capsys.readouterr().err
    assert snapshot(tmp_path) == before


def test_pictures_of_the_same_names_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = Path(__file__).parents[3] / "docs"
    monkeypatch.syspath_prepend(docs)
    spec = importlib.util.spec_from_file_location("screenshots", docs / "screenshots.py")
    assert spec is not None and spec.loader is not None
    screenshots = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "screenshots", screenshots)
    spec.loader.exec_module(screenshots)
    monkeypatch.setattr(screenshots, "find_chromium", lambda: "chromium")
    taken: list[str] = []
    monkeypatch.setattr(screenshots, "save_pictures", lambda shown, *_: taken.append(shown[0].name))
    (tmp_path / "noise.png").write_text("mine")
    words = ["screenshots.py", "--only=noise", f"--out={tmp_path}"]
    monkeypatch.setattr(sys, "argv", words)
    assert screenshots.main() == 1 and not taken
    assert "noise.png is there; say --replace" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", [*words, "--replace"])  # the cure
    assert screenshots.main() == 0 and taken == ["noise"]
