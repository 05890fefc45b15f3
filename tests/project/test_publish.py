"""What the README and the page of results show is what docs/results holds."""

import doctest
import importlib
import json
import pickle
import shlex
import shutil
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from repro.core.toml import load_figure
from repro.core.words import typeset
from repro.core.zipped import zipped
from repro.paper import record, report
from repro.paper.figure_report import figure_report
from tests.helpers import synthetic
from tests.helpers.planted import plant, snapshot

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def publish() -> ModuleType:
    return of_docs("publish")


@pytest.fixture(scope="module")
def pages(publish: ModuleType) -> ModuleType:
    return of_docs("result_pages")


def of_docs(name: str) -> ModuleType:
    """A script of docs/, imported as if it were run: with its folder first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        return importlib.import_module(name)


# Where the report of some figures lies already: drawing one takes a second.
_WRITTEN: dict[bytes, Path] = {}


def written(folder: Path, *figures: object) -> Path:
    """A report of made-up figures; a copy, where these figures were drawn before."""

    def write(path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    known = _WRITTEN.setdefault(pickle.dumps(figures), folder)
    if known == folder:
        report.write([figure_report(figure) for figure in figures], folder, write)
    else:
        shutil.copytree(known, folder)
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
        for one in publish.claims(folder):
            where = f"{folder.name}/{one['figure']}"
            (line,) = (row for row in short.splitlines() if f"[{one['claim']}]" in row)
            (entry,) = (part for part in line.split("<br>") if f"{where})" in part)
            assert f"**{one['verdict']}**" in entry
            section = long.split(f"\n### {one['claim']}\n")[1].split("\n### ")[0]
            assert typeset(one["ours"]) in section and typeset(one["rule"]) in section
            assert f"({where})" in section and f"**{one['verdict']}**" in section
            assert f"| `{one['command']}` |" in long


def test_remarks_are_shown_with_the_claim_that_they_are_on(publish: ModuleType) -> None:
    folders, _ = published(publish)
    said = publish.remarks("# Remarks\n\nSmall.\n\n## C5: Short\n\nLate.\n\n## Else\n\nMore.\n")
    page = publish.page(folders, said)
    assert page.index("Small.") < page.index("### C1") < page.index("**Short.**")
    assert page.index("**Short.**") < page.index("Late.") < page.index("### C6")
    assert page.index("## Else") > page.index("### C22")
    assert "| Short |" in publish.table(folders, said)


def test_remarks_speak_only_of_claims_that_were_published(
    publish: ModuleType, pages: ModuleType
) -> None:
    folders, said = published(publish)
    assert set(said.titles) == set(pages.found(folders))


def test_cuts_are_named_by_what_they_cut(pages: ModuleType) -> None:
    command = (
        "./run_all.sh --only=fig1b --profile=desk --set=train.n_train=10000 "
        "--set=cumulative.n_images=2000 --set=noise.n_images=1000 '--set=grid.seed=[0,1]'"
    )
    # Fig. 1b makes no noise, Fig. 2b no curves; of a figure that is not known all is told.
    assert pages.cut(command, "fig1b") == "10,000 images, curves on 2,000 images, 2 seeds"
    assert pages.cut(command, "fig2b") == "10,000 images, noise on 1,000 images, 2 seeds"
    assert pages.cut(command).count(",") == 6
    assert pages.cut("./run_all.sh --only=fig7a --profile=desk", "fig7a") == ""


def test_the_examples_in_its_docstrings_hold(pages: ModuleType) -> None:
    failed, tried = doctest.testmod(pages)
    assert tried and not failed


def test_published_folders_are_whole(publish: ModuleType) -> None:
    for folder in filter(Path.is_dir, publish.RESULTS.iterdir()):
        assert (folder / "README.md").read_text() == publish.overview(folder)
        records = publish.claims(folder)
        assert (folder / "claims.csv").read_bytes() == publish.csv_of(records)
        for one in records:
            numbers = json.loads((folder / one["figure"] / "summary.json").read_text())
            assert numbers[one["figure"]]["command"] == one["command"]


def test_every_published_command_makes_the_published_networks_today(publish: ModuleType) -> None:
    """The name of a network is a hash of its settings; a config that changed would be told here."""
    files = sorted(publish.RESULTS.glob("*/*/summary.json"))
    assert files
    for file in files:
        ((name, figure),) = json.loads(file.read_text()).items()
        flags = dict[str, list[str]]()
        for word in shlex.split(figure["command"])[1:]:
            flag, _, value = word.partition("=")
            flags.setdefault(flag, []).append(value)
        (config,) = (ROOT / "configs").glob(f"{name}_*.toml")
        planned = load_figure(config, flags["--profile"][0], flags.get("--set", []))
        assert flags["--only"] == [name]
        assert {network.run_id for network in planned.networks()} == {
            network["run_id"] for network in figure["networks"]
        }, figure["command"]


def test_a_figure_published_again_replaces_itself_alone(
    publish: ModuleType, tmp_path: Path
) -> None:
    first = written(tmp_path / "one", synthetic.curves_figure({0.0: 0.8, 1.0: 0.4}))
    second = written(tmp_path / "two", synthetic.units_figure(synthetic.unit_table()))
    publish.publish(first, tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out/fig1a").iterdir()}
    names = {path.name for path in before}
    assert names == {"fig1a.png", "fig1a.svg", "fig1a.zip", "summary.json"}
    publish.publish(second, tmp_path / "out")
    publish.publish(second, tmp_path / "out")
    assert {path: path.read_bytes() for path in (tmp_path / "out/fig1a").iterdir()} == before
    names = [one["claim"] for one in publish.claims(tmp_path / "out")]
    assert names == ["C1", "C14", "C17"]
    assert (tmp_path / "out/README.md").read_text().count("| [fig") == 2


def test_pictures_of_images_stay_out(publish: ModuleType, tmp_path: Path) -> None:
    folder = written(tmp_path / "one", synthetic.curves_figure({0.0: 0.8, 1.0: 0.4}))
    (folder / "fig1a_portraits.csv").write_text("role\n")
    publish.publish(folder, tmp_path / "out")
    names = {path.suffix for path in (tmp_path / "out/fig1a").iterdir()}
    assert names == {".json", ".zip"}


def test_claims_under_other_choices_are_gathered_figure_by_figure(
    publish: ModuleType, pages: ModuleType, tmp_path: Path
) -> None:
    curves = synthetic.curves_figure({0.0: 0.8, 1.0: 0.4}, orders=3, points=5)
    units = synthetic.units_figure(synthetic.unit_table(n_units=30))
    out = tmp_path / "results/desk"
    for index, figure in enumerate((units, curves, units)):
        publish.publish(written(tmp_path / f"report{index}", figure), out)
    found = pages.choices(out)
    assert {(one.claim, one.figure) for one in found} >= {("C1", "fig1a"), ("C14", "fig7a")}
    assert len(found) == len(set(found)) and found[0].claim == "C1"
    assert (out / "choices.png").read_bytes().startswith(b"\x89PNG")
    page = pages.page([out], pages.remarks("# Remarks\n"))
    assert "## Do the verdicts hold under other choices?" in page
    assert "](desk/choices.svg)" in page
    (out / "choices.json").write_text('["mine"]')
    with pytest.raises(SystemExit, match="choices.json was not published before"):
        publish.publish(tmp_path / "report0", out)


@pytest.mark.parametrize(
    "own",
    [
        *("README.md", "claims.json", "claims.csv", "fig1a/summary.json", "fig1a/fig1a.png"),
        *("fig1a/fig1a.zip", "fig1a"),
    ],
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


def test_published_results_stay_small(publish: ModuleType) -> None:
    assert publish.size_of(publish.RESULTS) <= publish.MOST_BYTES == 15_000_000
    files = [file for file in publish.RESULTS.rglob("*") if file.is_file()]
    assert max(file.stat().st_size for file in files) <= 1_400_000


def test_every_published_figure_has_a_record_that_the_code_of_today_explains(
    publish: ModuleType,
) -> None:
    for summary in publish.RESULTS.glob("*/*/summary.json"):
        archive = summary.with_name(f"{summary.parent.name}.zip").read_bytes()
        assert record.refreshed(archive) == archive, "run docs/publish.py"
        ((_, numbers),) = json.loads(summary.read_text()).items()
        networks = record.networks_of(archive)
        assert [one["run_id"] for one in networks] == [one["run_id"] for one in numbers["networks"]]
        assert all(set(one) <= set(record.NETWORK_KEYS) for one in networks)
        assert not list(summary.parent.glob("*.csv"))
        for one in networks:
            if "file" in one["weights"]:
                assert set(one["weights"]) == set(record.WEIGHTS_KEYS)
                assert (summary.parents[1] / one["weights"]["file"]).is_file()


def test_the_same_report_gives_the_same_bytes_in_any_order(
    publish: ModuleType, tmp_path: Path
) -> None:
    def draw() -> tuple[object, object]:
        return (
            synthetic.curves_figure({0.0: 0.8, 1.0: 0.4}),
            synthetic.units_figure(synthetic.unit_table()),
        )

    first, second = draw()
    publish.publish(written(tmp_path / "a", first, second), tmp_path / "one/out")
    first, second = draw()
    publish.publish(written(tmp_path / "b", second), tmp_path / "two/out")
    publish.publish(written(tmp_path / "c", first), tmp_path / "two/out")
    publish.publish(written(tmp_path / "d", second, first), tmp_path / "two/out")
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")


def test_tables_that_lie_loose_become_the_record_that_a_report_gives(
    publish: ModuleType, tmp_path: Path
) -> None:
    folder = written(tmp_path / "one", synthetic.curves_figure({0.0: 0.8, 1.0: 0.4}))
    publish.publish(folder, tmp_path / "out")
    figure = tmp_path / "out/fig1a"
    before = snapshot(figure)
    (figure / "fig1a.zip").unlink()
    for file in ("fig1a_curves.csv", "fig1a.png"):
        shutil.copyfile(folder / file, figure / file)
    publish.renew(figure)
    assert snapshot(figure) == before
    publish.renew(figure)
    assert snapshot(figure) == before


def test_an_archive_of_somebody_else_stays(publish: ModuleType, tmp_path: Path) -> None:
    folder = written(tmp_path / "one", synthetic.curves_figure({0.0: 0.8, 1.0: 0.4}))
    publish.publish(folder, tmp_path / "out")
    for content in (b"mine", zipped({"networks.json": b'{"figure": "fig1b"}'}), zipped({})):
        (tmp_path / "out/fig1a/fig1a.zip").write_bytes(content)
        before = snapshot(tmp_path)
        for change in (publish.publish, lambda _, out: publish.renew(out / "fig1a")):
            with pytest.raises(SystemExit, match="fig1a.zip was not published before"):
                change(folder, tmp_path / "out")
        assert snapshot(tmp_path) == before


def test_a_record_has_the_tables_of_the_report(publish: ModuleType, tmp_path: Path) -> None:
    folder = written(tmp_path / "one", synthetic.units_figure(synthetic.unit_table()))
    publish.publish(folder, tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "out/fig7a/fig7a.zip") as archive:
        assert archive.namelist() == ["README.md", "networks.json", "fig7a_units.csv"]
        assert archive.read("fig7a_units.csv") == (folder / "fig7a_units.csv").read_bytes()


def test_a_picture_looks_the_same_with_a_palette(publish: ModuleType, tmp_path: Path) -> None:
    folder = written(tmp_path / "one", synthetic.units_figure(synthetic.unit_table()))
    publish.publish(folder, tmp_path / "out")
    drawn, shown = folder / "fig7a.png", tmp_path / "out/fig7a/fig7a.png"
    assert shown.stat().st_size < 0.6 * drawn.stat().st_size
    with Image.open(drawn) as one, Image.open(shown) as other:
        assert one.size == other.size
        before, after = (np.asarray(image.convert("RGB"), float) for image in (one, other))
    assert np.abs(before - after).mean() < 0.5
    assert (before[0, 0] == after[0, 0]).all()


def test_a_network_in_the_way_is_not_written_over(publish: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks/mine.keras").write_text("mine")
    with pytest.raises(SystemExit, match="mine.keras was not published before"):
        publish.check(tmp_path, [], ["mine"])
