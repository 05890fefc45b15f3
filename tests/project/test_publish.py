"""What the README and the page of results show is what docs/results holds."""

import doctest
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from repro.paper import report
from tests.helpers import synthetic
from tests.helpers.planted import plant, snapshot

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


def published(publish: ModuleType) -> tuple[list[Path], object]:
    folders = sorted(file.parent for file in publish.RESULTS.glob("*/claims.json"))
    assert folders
    return folders, publish.remarks(publish.REMARKS.read_text())


def test_the_readme_shows_the_published_claims(publish: ModuleType) -> None:
    readme = publish.README.read_text()
    assert publish.with_table(readme, publish.table(*published(publish))) == readme


def test_the_page_of_results_shows_the_published_claims(publish: ModuleType) -> None:
    assert publish.PAGE.read_text() == publish.page(*published(publish))


def test_every_verdict_stands_on_both_pages_and_every_command_on_one(publish: ModuleType) -> None:
    folders, said = published(publish)
    short, long = publish.table(folders, said), publish.page(folders, said)
    for folder in folders:
        for record in publish.claims(folder):
            where = f"{folder.name}/{record['figure']}"
            (line,) = (row for row in short.splitlines() if f"[{record['claim']}]" in row)
            (entry,) = (part for part in line.split("<br>") if f"{where})" in part)
            assert f"**{record['verdict']}**" in entry
            section = long.split(f"\n### {record['claim']}\n")[1].split("\n### ")[0]
            assert record["ours"] in section and record["rule"] in section
            assert f"({where})" in section and f"**{record['verdict']}**" in section
            assert f"| `{record['command']}` |" in long


def test_remarks_are_shown_with_the_claim_that_they_are_on(publish: ModuleType) -> None:
    folders, _ = published(publish)
    said = publish.remarks("# Remarks\n\nSmall.\n\n## C5: Short\n\nLate.\n\n## Else\n\nMore.\n")
    page = publish.page(folders, said)
    assert page.index("Small.") < page.index("### C1") < page.index("**Short.**")
    assert page.index("**Short.**") < page.index("Late.") < page.index("### C6")
    assert page.index("## Else") > page.index("### C22")
    assert "| Short |" in publish.table(folders, said)


def test_remarks_speak_only_of_claims_that_were_published(publish: ModuleType) -> None:
    folders, said = published(publish)
    assert set(said.titles) == set(publish.found(folders))


def test_cuts_are_named_by_what_they_cut(publish: ModuleType) -> None:
    command = (
        "./run_all.sh --only=fig1b --profile=desk --set=train.n_train=10000 "
        "--set=cumulative.n_images=2000 --set=noise.n_images=1000 '--set=grid.seed=[0,1]'"
    )
    # Fig. 1b makes no noise, Fig. 2b no curves; of a figure that is not known all is told.
    assert publish.cut(command, "fig1b") == "10,000 images, curves on 2,000 images, 2 seeds"
    assert publish.cut(command, "fig2b") == "10,000 images, noise on 1,000 images, 2 seeds"
    assert publish.cut(command).count(",") == 6
    assert publish.cut("./run_all.sh --only=fig7a --profile=desk", "fig7a") == ""


def test_the_examples_in_its_docstrings_hold(publish: ModuleType) -> None:
    failed, tried = doctest.testmod(publish)
    assert tried and not failed


def test_published_folders_are_whole(publish: ModuleType) -> None:
    for folder in filter(Path.is_dir, publish.RESULTS.iterdir()):
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
