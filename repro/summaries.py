"""Results -> TensorBoard events, for the Single Directions tab and the Scalars tab.

Uses TensorBoard's own writer through `tb_plugin.summary`; no TensorFlow is needed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_SCALAR
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.util.tensor_util import make_tensor_proto

from repro.config import FigureConfig, TrainConfig
from repro.results import AblationCurve, FigureResult, NetworkResult, UnitTable
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
    """Writes one network's training curve and lesions into one TensorBoard run."""
    facts = _facts(figure, network)
    with plugin_summary.Writer(str(logdir)) as writer:
        for record in network.training.history:
            for name in ("loss", "accuracy"):
                writer.add(_scalar(f"training/{name}", record[name]), step=int(record["epoch"]))
        step = network.training.epochs
        found = network.sweep
        description = f"{figure.config.title}. Data: {figure.data}."
        if isinstance(found, AblationCurve):
            writer.add(
                plugin_summary.ablation_curve(
                    f"{figure.config.name}/accuracy_vs_ablation",
                    found.n_ablated,
                    found.accuracy,
                    n_units=found.n_units,
                    split=found.images,
                    fill=found.fill,
                    facts=facts,
                    description=description,
                ),
                step=step,
            )
        else:
            writer.add(_unit_table(figure, found, facts, description), step=step)


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
    figure: FigureResult, found: UnitTable, facts: dict[str, str], description: str
) -> plugin_summary.Summary:
    return plugin_summary.unit_table(
        f"{figure.config.name}/units",
        [str(name) for name in found.layer_names],
        found.unit_indices,
        {
            "class_selectivity": found.class_selectivity,
            "importance": found.importance,
            "accuracy_drop": found.accuracy_drop,
            "mean_activation": found.mean_activation,
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
        "network": f"{config.network} {'-'.join(str(width) for width in config.hidden_units)}",
        "data": f"{figure.data}; {training.n_train:,} training images",
        "seed": str(config.seed),
        "epochs": str(training.epochs),
        "training accuracy": f"{training.train_accuracy:.4f}",
        "test accuracy": f"{training.test_accuracy:.4f}",
    }


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
