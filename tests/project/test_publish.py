"""What the README shows of results is what docs/results holds."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from repro import report
from tests.repro import synthetic

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
