"""Settings: what is accepted, what is refused and how, and the names of networks."""

from __future__ import annotations

import dataclasses
import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from repro.core.checked import from_dict
from repro.core.kinds import CumulativeConfig, IntactConfig, SingleUnitConfig
from repro.core.settings import PROFILES, ConfigError, TrainConfig, to_dict
from repro.core.toml import find_figures, load_figure
from repro.paper import measures

ROOT = Path(__file__).parents[3]
GOOD = """
title = "A figure"
[common.train]
dataset = "mnist"
network = "mlp"
hidden_units = [8, 8]
[quick.grid]
label_corruption = [0.0, 0.5]
seed = [1, 2]
[quick.cumulative]
orders = 3
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "fig9_test.toml"
    path.write_text(text)
    return path


def test_run_ids_never_change() -> None:
    """Else networks on people's disks are orphaned."""
    assert TrainConfig("mnist", "mlp", (512, 512)).run_id == "mnist-mlp-2c524fa549"
    assert (
        TrainConfig("mnist", "mlp", (128, 128), label_corruption=0.4, epochs=5).run_id
        == "mnist-mlp-a5daac1616"
    )
    assert CumulativeConfig().sweep_id == "cumulative-44136fa355"
    assert SingleUnitConfig(fill="mean").sweep_id == "single_unit-f7b5578fc6"


def test_a_default_spelt_out_names_the_same_network_and_a_change_another() -> None:
    plain = TrainConfig("mnist", "mlp", (8,))
    assert dataclasses.replace(plain, momentum=0.9).run_id == plain.run_id
    for change in ({"seed": 1}, {"label_corruption": 0.2}, {"origin": "embedded"}):
        assert dataclasses.replace(plain, **change).run_id != plain.run_id


def test_networks_of_a_kind_have_names_of_their_own() -> None:
    convnet = TrainConfig("cifar10", "convnet")
    assert convnet.run_id == "cifar10-convnet-daac81fd59"
    assert TrainConfig("imagenet2012", "resnet50").run_id == "imagenet2012-resnet50-7f121800f8"
    changes = [
        {"width": 0.5},
        {"batch_norm": False},
        {"dropout": 0.1},
        {"schedule": "cosine"},
        {"schedule": "step", "decay_epochs": (2, 4)},
        {"warmup_epochs": 1},
        {"weight_decay": 1e-4},
        {"precision": "mixed_bfloat16"},
        {"data_parallel": True},
        {"snapshots": (0, 640)},
        {"selectivity_regularizer": -1.0},
        {"augment": True},
        {"head_units": 256},
        {"pixel_range": "-1 to 1"},
    ]
    names = {dataclasses.replace(convnet, **change).run_id for change in changes}
    assert len(names | {convnet.run_id}) == len(changes) + 1


@pytest.mark.parametrize(
    ("network", "changes", "sentence"),
    [
        ("mlp", {"hidden_units": ()}, "an mlp needs hidden_units"),
        ("mlp", {"width": 0.5}, "width is for a convnet or resnet50"),
        ("mlp", {"batch_norm": False}, "batch_norm = false is for a convnet"),
        ("convnet", {"hidden_units": (8,)}, r"hidden_units are for an mlp; a convnet has width"),
        ("resnet50", {"dropout": 0.1}, "dropout is for an mlp or convnet"),
        ("resnet50", {"batch_norm": False}, "batch_norm = false is for a convnet"),
        ("mlp", {"head_units": 8}, "head_units are for a convnet; an mlp has none"),
        ("resnet50", {"head_units": 8}, "head_units are for a convnet; a resnet50 has none"),
        ("mlp", {"schedule": "step"}, 'decay_epochs and schedule = "step" need each other'),
        ("mlp", {"decay_epochs": (1,)}, 'decay_epochs and schedule = "step" need each other'),
        ("mlp", {"decay_factor": 0.5}, 'decay_factor goes with schedule = "step"'),
        ("mlp", {"schedule": "step", "decay_epochs": (3, 2)}, "decay_epochs must increase"),
        ("mlp", {"schedule": "step", "decay_epochs": (6,)}, "up to epochs = 5"),
        ("mlp", {"warmup_epochs": 5}, "fewer than epochs = 5"),
        ("mlp", {"snapshots": (2, 2)}, "snapshots must increase"),
        ("mlp", {"snapshots": (0, 6)}, r"up to epochs = 5. Received: \[0, 6\]"),
        ("mlp", {"snapshots": (1,), "stop_at_train_accuracy": 0.9}, "snapshots need every epoch"),
        ("convnet", {"augment": True, "label_corruption": 0.2}, "keep a network from memorising"),
        ("convnet", {"augment": True, "dataset": "mnist"}, "augment is for cifar10"),
        ("convnet", {"origin": "embedded"}, "only mnist has embedded images"),
    ],
)
def test_settings_that_do_not_fit_each_other_are_refused(
    network: str, changes: dict[str, Any], sentence: str
) -> None:
    hidden_units = (8,) if network == "mlp" else ()
    fits = TrainConfig("cifar10", network, hidden_units, epochs=5)
    with pytest.raises(ConfigError, match=sentence):
        dataclasses.replace(fits, **changes)


def test_the_pixels_of_your_own_network_have_a_scaling_of_their_own() -> None:
    given = TrainConfig("own", "own", scale="tf")
    with pytest.raises(ConfigError, match="your own network are scaled as --scale says"):
        dataclasses.replace(given, pixel_range="-1 to 1")


def test_a_misfit_in_a_file_or_its_grid_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"fig9_test.toml: \[quick.train\] width is for"):
        load_figure(written(tmp_path, GOOD.replace("[8, 8]", "[8, 8]\nwidth = 0.5")), "quick")
    text = GOOD.replace("seed = [1, 2]", "width = [1.0, 0.5]")
    with pytest.raises(ConfigError, match=r"fig9_test.toml: \[quick.grid\] width is for"):
        load_figure(written(tmp_path, text), "quick")


def test_the_grid_is_the_product_of_its_values(tmp_path: Path) -> None:
    figure = load_figure(written(tmp_path, GOOD), "quick")
    assert figure.name == "fig9"
    assert [(n.label_corruption, n.seed) for n in figure.networks()] == [
        (0.0, 1),
        (0.0, 2),
        (0.5, 1),
        (0.5, 2),
    ]
    assert figure.sweeps == (("cumulative", CumulativeConfig(orders=3)),)


def test_settings_survive_json() -> None:
    settings = TrainConfig("mnist", "mlp", (8, 4), label_corruption=0.2)
    assert from_dict(TrainConfig, to_dict(settings)) == settings


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda p: p.stem)
def test_every_shipped_config_is_valid(path: Path, profile: str) -> None:
    figure = load_figure(path, profile)
    assert figure.networks()
    for network in figure.networks():
        if profile != "quick":
            assert not network.stop_at_train_accuracy
        if profile == "paper" and network.network != "resnet50":
            # Appendix A.2; in Fig. 5a networks without dropout are our control.
            epochs = 5000 if figure.name == "fig5a" else measures.paper_epochs(network)
            assert network.epochs == epochs
    if profile == "paper":
        # Without a stand-in: the paper's own data or nothing.
        assert not figure.stand_in


def test_a_sweep_of_more_images_than_are_trained_on_is_refused_at_once() -> None:
    (path,) = (ROOT / "configs").glob("fig4a_*.toml")
    few = "train.n_train=5000"
    with pytest.raises(ConfigError, match=r"cumulative.n_images = 10,000 but train.n_train = 5,0"):
        load_figure(path, "desk", [few])
    # All of them, fewer of them, or test images, which are others.
    for more in ("cumulative.n_images=0", "cumulative.n_images=5000", "cumulative.images='test'"):
        assert load_figure(path, "desk", [few, more]).networks()


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda p: p.stem)
def test_the_head_of_a_config_tells_commands_that_work_time_and_findings(path: Path) -> None:
    lines = path.read_text().splitlines()
    head = list(itertools.takewhile(lambda line: line.startswith("#"), lines))
    commands = [line.split("./run_all.sh")[1] for line in head if "./run_all.sh" in line]
    name = path.stem.split("_")[0]
    profiles = []
    for command in commands:
        flags = [word for word in command.split() if word.startswith("--")]
        assert f"--only={name}" in flags
        profiles += [word.split("=")[1] for word in flags if word.startswith("--profile=")]
    assert set(profiles) <= set(PROFILES) and "paper" in profiles
    words = "\n".join(head)
    assert "# Takes  : " in words and re.search(r"# Got    : |Got: ", words)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "hidden_units",
            "hiden_units",
            r"fig9_test.toml: \[quick.train\] has no setting "
            r"'hiden_units'; did you mean 'hidden_units'\?",
        ),
        (
            "orders = 3",
            "orders = 0",
            r"\[quick.cumulative\] orders: expected 0?1 <= orders. "
            "Received: 0",
        ),
        ("orders = 3", "orders = 2.5", "orders: expected a whole number. Received: 2.5"),
        ("orders = 3", "orders = true", "orders: expected a whole number. Received: True"),
        (
            "0.5]",
            "1.5]",
            "expected 0.0 <= label_corruption <= 1.0. Received: 1.5",
        ),
        ("0.5]", "nan]", "label_corruption: expected 0.0 <= label_corruption <= 1.0"),
        ('"mnist"', '"mnits"', "dataset: expected one of .*did you mean 'mnist'"),
        ("[8, 8]", "[8, 0]", "hidden_units: expected whole numbers of 1 or more"),
        ("[8, 8]", "8", "hidden_units: expected a list of whole numbers"),
        ("[1, 2]", "[1, 1]", "seed names a value twice"),
        ("[1, 2]", "[]", "seed must be a list of values"),
        ("cumulative", "cumulativ", "has no setting 'cumulativ'; did you mean 'cumulative'"),
        ("[quick.cumulative]\norders = 3", "", "needs at least one of cumulative, single_unit"),
        ('dataset = "mnist"', "", "lacks dataset"),
        ("[quick.grid]", "[quick.grid", "not valid TOML"),
    ],
)
def test_a_wrong_setting_names_file_key_and_remedy(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=sentence):
        load_figure(written(tmp_path, GOOD.replace(old, new)), "quick")


def test_overrides_replace_settings_and_are_checked_alike(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    figure = load_figure(path, "quick", ["train.epochs=7", "grid.seed=[5]", "single_unit.seed=3"])
    assert {(n.epochs, n.seed) for n in figure.networks()} == {(7, 5)}
    assert [name for name, _ in figure.sweeps] == ["cumulative"]
    for override, sentence in [
        ("train.epoch=7", "did you mean 'epochs'"),
        ("train.epochs=many", "expected a whole number"),
        ("epochs=7", "expected section.key=value"),
        ("trian.epochs=7", "did you mean 'train'"),
    ]:
        with pytest.raises(ConfigError, match=sentence):
            load_figure(path, "quick", [override])


def test_missing_files_profiles_and_figures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_figure(tmp_path / "none.toml", "quick")
    path = written(tmp_path, GOOD)
    with pytest.raises(ConfigError, match=r"has no \[desk\] table"):
        load_figure(path, "desk")
    with pytest.raises(ConfigError, match="no figure 'fig8'; did you mean 'fig9'"):
        find_figures(tmp_path, ["fig8"])
    with pytest.raises(ConfigError, match="no folder of configs"):
        find_figures(tmp_path / "none")
    assert find_figures(tmp_path, ["fig9"]) == [path]


VARIED = """
[[panel]]
kind = "curves"
series = ["variant"]
[common.train]
dataset = "cifar10"
network = "convnet"
epochs = 4
[common.variants]
adam = { optimizer = "adam", learning_rate = 0.0002 }
plain_sgd = { momentum = 0.0 }
[common.grid]
label_corruption = [0.0, 1.0]
seed = [0, 1]
[common.cumulative]
orders = 3
[quick.variants]
head_8 = { head_units = 8 }
[desk.variants]
adam.batch_size = 32
plain_sgd = false
"""


def test_the_base_and_each_variant_are_crossed_with_the_grid(tmp_path: Path) -> None:
    figure = load_figure(written(tmp_path, VARIED), "quick")
    assert figure.variant_names == ("base", "adam", "plain_sgd", "head_8")
    base = TrainConfig("cifar10", "convnet", epochs=4)
    changes: dict[str, dict[str, Any]] = {
        "base": {},
        "adam": {"optimizer": "adam", "learning_rate": 0.0002},
        "plain_sgd": {"momentum": 0.0},
        "head_8": {"head_units": 8},
    }
    expected = [
        (name, dataclasses.replace(base, **change, label_corruption=fraction, seed=seed))
        for name, change in changes.items()
        for fraction in (0.0, 1.0)
        for seed in (0, 1)
    ]
    networks = figure.networks()
    assert [(figure.variant_of(network), network) for network in networks] == expected
    # A variant is not part of a network's name: the same settings elsewhere are the same network.
    plain = VARIED.replace("epochs = 4", "epochs = 4\nmomentum = 0.0").split("[common.variants]")
    other = (
        plain[0].replace('series = ["variant"]', "")
        + "[common.grid]"
        + (plain[1].split("[common.grid]")[1].split("[quick.variants]")[0] + "[quick]")
    )
    (tmp_path / "other").mkdir()
    of_other = load_figure(written(tmp_path / "other", other), "quick")
    assert of_other.variant_names == () and of_other.variant_of(of_other.networks()[0]) == ""
    assert [n.run_id for n in of_other.networks()] == [n.run_id for n in networks[8:12]]


def test_variants_belong_to_the_figure_wherever_its_data_lie(tmp_path: Path) -> None:
    figure = load_figure(written(tmp_path, VARIED), "quick")
    train = dataclasses.replace(figure.train, dataset="mnist", origin="embedded")
    located = dataclasses.replace(figure, train=train)
    names = [located.variant_of(network) for network in located.networks()]
    assert names == [name for name in figure.variant_names for _ in range(4)]


def test_a_profile_and_an_override_change_variants_and_leave_them_out(tmp_path: Path) -> None:
    path = written(tmp_path, VARIED)
    figure = load_figure(path, "desk")
    adam = (("optimizer", "adam"), ("learning_rate", 0.0002), ("batch_size", 32))
    assert figure.variants == (("adam", adam),)
    figure = load_figure(path, "quick", ["variants.adam=false", "variants.head_8.head_units=4"])
    assert figure.variant_names == ("base", "plain_sgd", "head_8")
    assert figure.variants[-1] == ("head_8", (("head_units", 4),))
    figure = load_figure(path, "quick", ["variants.wide={ width = 0.5 }"])
    assert figure.variant_names[-1] == "wide"
    # A figure without variants is left alone, as with every section that it does not have.
    (fig1b,) = (ROOT / "configs").glob("fig1b_*.toml")
    assert load_figure(fig1b, "quick", ["variants.wide={ width = 0.5 }"]).variants == ()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "{ momentum = 0.0 }",
            "{ momentun = 0.0 }",
            r"\[quick.variants.plain_sgd\] has no setting 'momentun'; did you mean 'momentum'",
        ),
        (
            "{ momentum = 0.0 }",
            "{ momentum = 2 }",
            r"plain_sgd\] momentum: expected 0.0 <= momentum <= 0.9999. Received: 2",
        ),
        (
            "{ momentum = 0.0 }",
            "{ momentum = 0.9 }",
            r"variants.plain_sgd\] has the settings of the base: change it, or leave it out",
        ),
        (
            "{ momentum = 0.0 }",
            '{ optimizer = "adam", learning_rate = 2e-4 }',
            r"variants.plain_sgd\] has the settings of 'adam'",
        ),
        ("plain_sgd = { mom", "adam = { mom", "not valid TOML"),
        ("plain_sgd = { mom", "base = { mom", "base is the name of what the variants differ from"),
        ("plain_sgd = { mom", '"a/b" = { mom', "'a/b' is no name for a variant"),
        ("{ momentum = 0.0 }", "{}", "plain_sgd: expected settings such as { momentum = 0.0 }"),
        ("{ momentum = 0.0 }", "0.0", "or false to leave the variant out. Received: 0.0"),
        ("{ momentum = 0.0 }", "{ seed = 3 }", "seed is varied by the grid; a setting stands in"),
        ("{ momentum = 0.0 }", '{ dataset = "mnist" }', "has no setting 'dataset'"),
        (
            "{ momentum = 0.0 }",
            "{ hidden_units = [3] }",
            r"plain_sgd\] hidden_units are for an mlp",
        ),
        ("[common.variants]", "[common.variant]", "'variant'; did you mean 'variants'"),
    ],
)
def test_wrong_variants_are_refused(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    assert old in VARIED
    with pytest.raises(ConfigError, match=sentence):
        load_figure(written(tmp_path, VARIED.replace(old, new, 1)), "quick")


def test_a_variant_that_does_not_go_with_a_value_of_the_grid_is_refused(tmp_path: Path) -> None:
    text = VARIED.replace("{ momentum = 0.0 }", "{ augment = true }")
    with pytest.raises(ConfigError, match=r"\[quick.grid\] augment would keep a network from"):
        load_figure(written(tmp_path, text), "quick")


def test_series_by_variant_need_variants(tmp_path: Path) -> None:
    head, rest = VARIED.split("[common.variants]")
    text = head + "[common.grid]" + rest.split("[common.grid]")[1].split("[quick.variants]")[0]
    with pytest.raises(ConfigError, match="series: no 'variant'"):
        load_figure(written(tmp_path, text + "[quick]"), "quick")


SEVERAL = """
[[panel]]
kind = "curves"
series = ["sweep"]
[common.train]
dataset = "cifar10"
network = "convnet"
epochs = 4
snapshots = [0, 2, 4]
[common.cumulative]
orders = 3
[common.cumulative.zero]
[common.cumulative.mean]
fill = "mean"
[common.intact]
at = "snapshots"
[quick]
stand_in = "mnist"
[quick.cumulative]
points = 5
"""


def test_named_sweeps_share_what_stands_outside_their_tables(tmp_path: Path) -> None:
    figure = load_figure(written(tmp_path, SEVERAL), "quick", ["cumulative.mean.orders=2"])
    assert figure.sweeps == (
        ("zero", CumulativeConfig(orders=3, points=5)),
        ("mean", CumulativeConfig(orders=2, points=5, fill="mean")),
        ("intact", IntactConfig(at="snapshots")),
    )
    assert figure.stand_in == "mnist"
    assert figure.panels[0].series == ("sweep",)


def test_a_sweep_along_training_is_made_at_every_snapshot(tmp_path: Path) -> None:
    figure = load_figure(written(tmp_path, SEVERAL), "quick")
    (network,) = figure.networks()
    lesions = figure.lesions(network)
    assert [name for name, _ in lesions] == ["zero", "mean", "intact", "intact", "intact"]
    assert [sweep.epoch for _, sweep in lesions] == [-1, -1, 0, 2, 4]
    assert len({sweep.sweep_id for _, sweep in lesions}) == 5


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('series = ["sweep"]', 'series = ["drop"]', "series: no 'drop'; did you mean 'dropout'"),
        ('kind = "curves"', 'kind = "curve"', "kind: no 'curve'; did you mean 'curves'"),
        ('kind = "curves"', 'kind = "curves"\nsweep = "zeroo"', "did you mean 'zero'"),
        ('stand_in = "mnist"', 'stand_in = "mnits"', "stand_in: expected one of mnist"),
        ("[common.intact]", "[common.intact.zero]", "two sweeps called 'zero'"),
        (
            'fill = "mean"',
            'fill = "position_mean"\nbasis = "random"',
            'basis = "random" needs order = "random"',
        ),
    ],
)
def test_wrong_panels_and_sweeps_are_refused(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    assert old in SEVERAL
    with pytest.raises(ConfigError, match=sentence):
        load_figure(written(tmp_path, SEVERAL.replace(old, new)), "quick")


def test_figures_share_the_networks_they_can() -> None:
    """The convnets of Fig. 5b serve eight more figures, the MLPs of Figs. 1a and 7a three."""

    def networks(name: str, profile: str) -> set[TrainConfig]:
        (path,) = (ROOT / "configs").glob(f"{name}_*.toml")
        return set(load_figure(path, profile).networks())

    for profile in PROFILES:
        for name in (
            "fig6",
            "fig7b",
            "figA1",
            "figA2a",
            "figA3b",
            "figA4b",
            "rotated",
            "illustration",
        ):
            assert networks(name, profile) <= networks("fig5b", profile), (name, profile)
        assert networks("fig2a", profile) == networks("fig1a", profile)
        assert networks("fig2b", profile) == networks("fig1b", profile)
        assert networks("figA4a", profile) == networks("fig7a", profile)
        assert networks("ordered", profile) == networks("fig7a", profile)


def test_a_figure_like_another_is_trained_as_that_one(tmp_path: Path) -> None:
    base = '[common.train]\ndataset = "mnist"\nnetwork = "mlp"\nhidden_units = [8]\nepochs = 3\n'
    (tmp_path / "first_mnist.toml").write_text(base + "[quick.intact]\n")
    (tmp_path / "second_mnist.toml").write_text('like = "first"\n[quick.intact]\n')
    third = 'like = "second"\n[common.train]\nepochs = 5\n[quick.intact]\n'
    (tmp_path / "third_mnist.toml").write_text(third)
    first, second, last = (
        load_figure(tmp_path / f"{name}_mnist.toml", "quick").train
        for name in ("first", "second", "third")
    )
    assert first == second and last == dataclasses.replace(first, epochs=5)


@pytest.mark.parametrize(
    ("like", "sentence"),
    [("secnd", "like: no figure 'secnd'.*second"), ("second", "is like this one")],
)
def test_a_figure_is_like_another_that_is_there(tmp_path: Path, like: str, sentence: str) -> None:
    (tmp_path / "first_mnist.toml").write_text(f'like = "{like}"\n[quick.intact]\n')
    (tmp_path / "second_mnist.toml").write_text('like = "first"\n[quick.intact]\n')
    with pytest.raises(ConfigError, match=sentence):
        load_figure(tmp_path / "first_mnist.toml", "quick")
