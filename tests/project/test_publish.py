"""What the README shows of results is what docs/results holds."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from repro.paper import report
from tests.repro import synthetic
from tests.repro.test_folders import plant, snapshot

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def publish() -> ModuleType:
    spec = importlib.util.spec_from_file_location("publish", ROOT / "docs/publish.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def written(folder: Path, *figures: object) -> Path:
    """A report of made-up figures."""

    def write(path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    report.write(figures, folder, {}, write)
    return folder


def test_the_readme_shows_the_published_claims(publish: ModuleType) -> None:
    readme = publish.README.read_text()
    folders = sorted(file.parent for file in publish.RESULTS.glob("*/claims.json"))
    assert folders
    assert publish.with_table(readme, publish.table(folders)) == readme


def test_published_folders_are_whole(publish: ModuleType) -> None:
    for folder in publish.RESULTS.iterdir():
        assert (folder / "README.md").read_text() == publish.overview(folder)
        records = publish.claims(folder)
        assert (folder / "claims.csv").read_bytes() == publish.csv_of(records)
        for record in records:
            numbers = json.loads((folder / record["figure"] / "summary.json").read_text())
            assert numbers[record["figure"]]["command"] == record["command"]


def test_a_figure_published_again_replaces_itself_alone(
    publish: ModuleType, tmp_path: Path
) -> None:
    first = written(tmp_path / "one", synthetic.curves_figure({0.0: 0.8, 1.0: 0.4}))
    second = written(tmp_path / "two", synthetic.units_figure(synthetic.unit_table()))
    publish.publish(first, tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out/fig1a").iterdir()}
    assert {"fig1a.png", "fig1a.svg", "fig1a_curves.csv", "summary.json"} <= {
        p.name for p in before
    }
    publish.publish(second, tmp_path / "out")
    publish.publish(second, tmp_path / "out")
    assert {path: path.read_bytes() for path in (tmp_path / "out/fig1a").iterdir()} == before
    names = [record["claim"] for record in publish.claims(tmp_path / "out")]
    assert names == ["C1", "C14", "C17"]
    assert (tmp_path / "out/README.md").read_text().count("| [fig") == 2


def test_pictures_of_images_stay_out(publish: ModuleType, tmp_path: Path) -> None:
    folder = written(tmp_path / "one", synthetic.curves_figure({0.0: 0.8, 1.0: 0.4}))
    (folder / "fig1a_portraits.csv").write_text("role\n")
    publish.publish(folder, tmp_path / "out")
    names = {path.suffix for path in (tmp_path / "out/fig1a").iterdir()}
    assert names == {".json", ".csv"}


@pytest.mark.parametrize(
    "own",
    ["README.md", "claims.json", "claims.csv", "fig1a/summary.json", "fig1a/fig1a.png", "fig1a"],
)
def test_a_file_that_was_not_published_is_not_written_over(
    publish: ModuleType, tmp_path: Path, own: str
) -> None:
    first = written(tmp_path / "one", synthetic.curves_figure({0.0: 0.8, 1.0: 0.4}))
    (tmp_path / "out" / own).parent.mkdir(parents=True)
    (tmp_path / "out" / own).write_text('{"mine": 1}')
    before = snapshot(tmp_path)
    with pytest.raises(SystemExit, match=f"{own} was not published before .* change --out"):
        publish.publish(first, tmp_path / "out")
    assert snapshot(tmp_path) == before


def test_what_lies_in_a_published_folder_stays(publish: ModuleType, tmp_path: Path) -> None:
    first = written(tmp_path / "one", synthetic.curves_figure({0.0: 0.8, 1.0: 0.4}))
    publish.publish(first, tmp_path / "out")
    (tmp_path / "out/fig1a/fig1a_old.csv").write_text("of an earlier version\n")
    for folder in (tmp_path / "out", tmp_path / "out/fig1a"):
        plant(folder, tmp_path / "elsewhere")
    (tmp_path / "out/fig1a/notes.csv").write_text("mine")
    before = snapshot(tmp_path)
    publish.publish(first, tmp_path / "out")
    assert before.pop("out/fig1a/fig1a_old.csv")
    assert snapshot(tmp_path) == before
