"""Results -> TensorBoard events, for the Single Directions tab and the Scalars tab.

Uses TensorBoard's own writer through `tb_plugin.summary`; no TensorFlow is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_SCALAR
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.util.tensor_util import make_tensor_proto

from repro.config import FigureConfig, TrainConfig
from repro.findings import normalized_auc, score, score_name
from repro.results import (
    AblationCurve,
    FigureResult,
    Intact,
    NetworkResult,
    SweepResult,
    UnitTable,
)
from tb_plugin import summary as plugin_summary


def network_label(figure: FigureConfig, network: TrainConfig) -> str:
    """What tells a network from the others of its figure: "label_corruption=0.2".

    Used as the name of its TensorBoard run; the figure's name where it has only one network.
    """
    varied = [
        f"{key}={_text(getattr(network, key))}" for key, values in figure.grid if len(values) > 1
    ]
    return ",".join(varied) or figure.name


def write(figure: FigureResult, network: NetworkResult, logdir: Path) -> None:
    """Writes one network's training curve and lesions into one TensorBoard run.

    Sweeps along training are written at the epochs of their snapshots, the others at the last.
    """
    with plugin_summary.Writer(str(logdir)) as writer:
        for record in network.training.history:
            for name in ("loss", "accuracy"):
                writer.add(_scalar(f"training/{name}", record[name]), step=int(record["epoch"]))
        for name, found in network.sweeps.items():
            for summary in _summaries(figure, network, name, found):
                writer.add(summary, step=network.training.epochs)
        for name, along in network.snapshots.items():
            for epoch, found in along:
                for summary in _summaries(figure, network, name, found):
                    writer.add(summary, step=epoch)


def _summaries(
    figure: FigureResult, network: NetworkResult, name: str, found: SweepResult
) -> Iterator[plugin_summary.Summary]:
    """What the tab shows of one sweep; a name other than its kind's becomes part of the tag."""
    facts = _facts(figure, network)
    description = f"{figure.config.title}. Data: {figure.data}."
    prefix = figure.config.name if name == found.kind else f"{figure.config.name}/{name}"
    if isinstance(found, AblationCurve):
        settings = dict(figure.config.sweeps)[name]
        everything = not getattr(settings, "last_layers", 0)
        yield plugin_summary.ablation_curve(
            f"{prefix}/accuracy_vs_ablation",
            found.n_ablated,
            score(network, found),
            n_units=found.n_units,
            split=found.images,
            fill=found.fill,
            order=getattr(settings, "order", "random"),
            layers="all" if everything else ", ".join(layer for layer, _ in found.layers),
            score=score_name(network),
            facts=facts,
            description=description,
        )
        if name in network.snapshots:
            one = NetworkResult(network.config, network.training, {name: found})
            yield _scalar(f"{prefix}/normalized_auc", float(normalized_auc(one).mean()))
    elif isinstance(found, UnitTable):
        yield _unit_table(prefix, found, facts, description)
    elif isinstance(found, Intact):
        yield _scalar(f"training/{found.images}_loss", found.loss)
        yield _scalar(f"training/{found.images}_accuracy", found.accuracy)


def _scalar(tag: str, value: float) -> plugin_summary.Summary:
    # TensorBoard's own helper for this message would import TensorFlow.
    metadata = scalar_metadata.create_summary_metadata(display_name="", description="")
    metadata.data_class = DATA_CLASS_SCALAR
    return plugin_summary.Summary(
        value=[
            plugin_summary.Summary.Value(
                tag=tag, metadata=metadata, tensor=make_tensor_proto(value, dtype=np.float32)
            )
        ]
    )


def _unit_table(
    prefix: str, found: UnitTable, facts: dict[str, str], description: str
) -> plugin_summary.Summary:
    return plugin_summary.unit_table(
        f"{prefix}/units",
        [str(name) for name in found.layer_names],
        found.unit_indices,
        {
            "class_selectivity": found.class_selectivity,
            "mutual_information": found.mutual_information,
            "importance": found.importance,
            "accuracy_drop": found.accuracy_drop,
            "largest_class_drop": found.largest_class_drop,
            "weight_norm": found.weight_norm,
            "mean_activation": found.mean_activation,
            "sparsity": found.sparsity,
        },
        facts=facts | {"images": f"{found.n_images:,} {found.images} images"},
        description=description,
    )


def _facts(figure: FigureResult, network: NetworkResult) -> dict[str, str]:
    config, training = network.config, network.training
    return {
        "figure": figure.config.name,
        "profile": figure.config.profile,
        "label corruption": _text(config.label_corruption),
        "network": " ".join([config.network, "-".join(map(str, config.hidden_units))]).strip(),
        "data": f"{figure.data}; {training.n_train:,} training images",
        "seed": str(config.seed),
        "epochs": str(training.epochs),
        "training accuracy": f"{training.train_accuracy:.4f}",
        "test accuracy": f"{training.test_accuracy:.4f}",
    }


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
