"""A network as a small `.keras` file for others: Keras's own layers, its arrays in 16 bits.

`keras.models.load_model` reads such a file on any backend, without this package. It makes float32
weights of the arrays. `repro.insert_masks` gives the network its masks again.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from repro.core.zipped import unzipped, zipped
from repro.models.inspection import CONFIG, METADATA, WEIGHTS
from repro.models.masking import AblationMask

# HDF5 compresses arrays of so many numbers; for smaller ones its bookkeeping takes more.
_SMALL = 1000


def without_masks(model: keras.Model) -> keras.Model:
    """The same network, its own copy of the weights, without `AblationMask` layers.

    Args:
        model: whose masks ablate nothing.
    """

    def called(layer: keras.layers.Layer, *inputs: Any, **named: Any) -> Any:
        return inputs[0] if isinstance(layer, AblationMask) else layer(*inputs, **named)

    plain = keras.models.clone_model(model, call_function=called, clone_function=_copy)
    for layer in plain.layers:
        layer.set_weights(model.get_layer(layer.name).get_weights())
    return plain


def _copy(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The same layer, to begin with zeros: how weights once began is nothing to keep."""
    config = layer.get_config()
    config |= {name: "zeros" for name in config if name == "kernel_initializer"}
    return layer.__class__.from_config(config)


def to_bytes(model: keras.Model, dtype: str = "float16") -> bytes:
    """The content of a `.keras` file; the same network always gives the same bytes.

    Args:
        model: without masks, not compiled.
        dtype: of kernels in the file, "float16" or "float32". Biases and all that batch
            normalisation keeps are few, and stay float32. What no float16 can hold, above 65,504,
            becomes infinite: compare the answers.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        members = unzipped(path.read_bytes())
    metadata = json.loads(members[METADATA])
    del metadata["date_saved"]
    return zipped(
        {
            METADATA: json.dumps(metadata).encode(),
            CONFIG: members[CONFIG],
            WEIGHTS: _smaller(members[WEIGHTS], dtype),
        }
    )


def _smaller(weights: bytes, dtype: str) -> bytes:
    """Weights in HDF5 with kernels of this dtype, compressed."""
    buffer = io.BytesIO()
    with h5py.File(io.BytesIO(weights)) as old, h5py.File(buffer, "w") as new:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                values = item[()]
                if values.dtype == np.float32 and values.ndim > 1:
                    with np.errstate(over="ignore"):
                        values = values.astype(dtype)
                # Bytes of equal significance side by side compress better.
                how: Mapping[str, Any] = {}
                if values.size >= _SMALL:
                    how = {"compression": "gzip", "compression_opts": 9, "shuffle": True}
                made = new.create_dataset(name, data=values, **how)
            else:
                made = new.require_group(name)
            for key, value in item.attrs.items():
                made.attrs[key] = value

        old.visititems(copy)
    return buffer.getvalue()
