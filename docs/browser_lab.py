"""Trains the two networks of the lab that runs in a browser alone, and makes its page.

    python docs/browser_lab.py train       trains them anew, into docs/demo (4 minutes, needs MNIST)
    python docs/browser_lab.py page OUT    makes the page of docs/demo in the folder OUT

Two networks of the paper's Fig. 7a (784-128-128-10) learn the same images: 5,000 of MNIST and the
400 digits of `digits.py`, which the page shows. One learns the true labels, the other the same
labels shuffled. docs/demo holds their weights, rounded to half precision, and the drawn digits; no
image of a data set.
"""

import argparse
import sys
import tempfile
import zipfile
from pathlib import Path

import digits
import numpy as np

DEMO = Path(__file__).parent / "demo"
NETWORKS = {"true labels": 0.0, "shuffled labels": 1.0}  # name, and share of labels shuffled
HIDDEN = (128, 128)
N_MNIST, N_DIGITS = 5000, 400
BATCH = 128
EPOCHS = 400  # then both networks fit their labels
ORDERS = 20  # random orders of the ablation curve


def train(folder: Path) -> None:
    """Trains both networks and saves them, each with its images and the labels it learned."""
    import keras

    import repro
    from repro.core.settings import TrainConfig
    from repro.data import load, source

    config = TrainConfig("mnist", "mlp", hidden_units=HIDDEN, n_train=N_MNIST)
    mnist = load.load(source.locate("mnist"), config).train
    drawn, answers = digits.images(N_DIGITS, seed=0)
    images = np.concatenate([mnist.images, drawn / np.float32(255)])
    labels = np.concatenate([mnist.labels, answers])
    folder.mkdir(parents=True, exist_ok=True)
    for name, share in NETWORKS.items():
        learned = load.corrupt_labels(labels, share, np.random.default_rng(1))
        keras.utils.set_random_seed(0)  # the order of the batches
        model = repro.mlp((digits.SIZE, digits.SIZE, 1), digits.N_DIGITS, HIDDEN, seed=0)
        model.compile(
            keras.optimizers.SGD(0.03, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        past = model.fit(images, learned, batch_size=BATCH, epochs=EPOCHS, verbose=0).history
        print(f"{name}: training accuracy {past['accuracy'][-1]:.4f}")
        model.set_weights([w.astype(np.float16).astype(np.float32) for w in model.get_weights()])
        file = folder / f"{name.replace(' ', '_')}.keras"
        save(model, file)
        np.savez_compressed(
            file.with_suffix(".images.npz"),
            images=drawn,
            labels=learned[N_MNIST:].astype(np.uint8),
            truth=answers.astype(np.uint8),
            class_names=np.arange(digits.N_DIGITS).astype(str),
        )


def save(model, file: Path) -> None:
    """A `.keras` file without the optimizer, packed: rounded numbers take little room."""
    import keras

    bare = keras.models.clone_model(model)
    bare.set_weights(model.get_weights())
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "model.keras"
        bare.save(whole)
        with zipfile.ZipFile(whole) as old, zipfile.ZipFile(file, "w") as new:
            for entry in old.namelist():
                new.writestr(zipfile.ZipInfo(entry), old.read(entry), zipfile.ZIP_BZIP2)


def page(out: Path) -> None:
    """Measures both networks on the drawn digits, and writes the copy of the tab with its lab."""
    import repro
    from tb_plugin.export.making import Options, export

    with tempfile.TemporaryDirectory() as logdir:
        for name in NETWORKS:
            file = DEMO / f"{name.replace(' ', '_')}.keras"
            with np.load(file.with_suffix(".images.npz")) as stored:
                images, labels, names = (stored[key] for key in ("images", "labels", "class_names"))
            study = repro.lesion(
                repro.load_model(file),
                images / np.float32(255),
                labels.astype(np.int64),
                class_names=names.tolist(),
                split="train",
                progress=False,
            )
            write_summaries(study, Path(logdir) / name, str(NETWORKS[name]), file.stem)
        options = Options("Two networks under one lesion", "lab", models=DEMO, one_file=True)
        written = export(Path(logdir), out, options)
    print(f"Written: {written.n_bytes / 1e6:.1f} MB. Open {out / 'index.html'}.")


def write_summaries(study, logdir: Path, corruption: str, model: str) -> None:
    """The ablation curve and the unit table of one network, for the tab."""
    from tb_plugin import summary

    facts = {"label corruption": corruption, "data": "drawn digits", "model": model}
    curve = study.curve(orders=ORDERS)
    units = study.units
    with summary.Writer(logdir) as writer:
        writer.add(
            summary.ablation_curve(
                "curve/all/random",
                curve.n_ablated,
                curve.accuracy,
                n_units=curve.n_units,
                split="train",
                facts=facts,
            )
        )
        writer.add(
            summary.unit_table(
                "units",
                units["layer"].tolist(),
                units["unit"],
                {name: units[name] for name in ("class_selectivity", "importance")},
                classes=study.class_names,
                class_means=study.statistics.class_means.T,
                class_drops=study.class_drops,
                facts=facts,
            )
        )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("train", help="train both networks, into docs/demo")
    making = commands.add_parser("page", help="make the page")
    making.add_argument("out", type=Path, help="new folder, or that of an earlier page")
    asked = parser.parse_args(arguments)
    if asked.command == "train":
        train(DEMO)
    else:
        page(asked.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
