"""What a user would do instead of asking the engine, written as well as we can.

A rival is built for a subject with a setting (a batch size, mostly) and is then called with
lesions; it gives how many images are right under each, and the summed loss. `settings` are those
worth trying: the program takes the fastest. Packages are imported where a rival is built, so that
one whose package is absent can be left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
from keras import ops

from benchmarks import limits
from benchmarks.subjects import Subject
from repro.engine import passes
from repro.models.masking import AblationMask, ablation_masks


class Answers(NamedTuple):
    """n_correct: int64 (n_lesions,). loss_sum: float64 (n_lesions,), in nats."""

    n_correct: np.ndarray
    loss_sum: np.ndarray


class Rival(Protocol):
    """name: in the JSON. packages: what it needs beside the laboratory. single_only: it answers
    for lesions of one unit only. block: lesions of one layer that it evaluates together. slack:
    images a lesion on which its counts may differ for float32 rounding, beside ties."""

    name: str
    packages: Sequence[str]
    single_only: bool
    block: int
    slack: int

    def __call__(self, keep: np.ndarray) -> Answers:
        """Answers for lesions, bool (n_lesions, n_units)."""

    def work(self, keep: np.ndarray) -> float:
        """What a call for these lesions costs, in any unit: to scale a share to the whole."""


class _Basics:
    packages: Sequence[str] = ()
    single_only = False
    block = 1
    slack = 0

    def work(self, keep: np.ndarray) -> float:
        return float(len(keep))


def absent(rival: Any) -> list[str]:
    """The packages that a rival needs and this machine lacks."""
    return [package for package in rival.packages if find_spec(package) is None]


def batch_sizes(subject: Subject) -> list[int]:
    """All images at once, a quarter of them, and 1000 or a tenth where there are fewer."""
    n = len(subject.images)
    return sorted({n, -(-n // 4), min(1000, -(-n // 10))})


# --- Keras ----------------------------------------------------------------------------------------


class KerasEvaluate(_Basics):
    """Assign the lesion to the masks, `model.evaluate`, and so on."""

    name = "keras_evaluate"

    def __init__(self, subject: Subject, batch_size: int, jit_compile: bool | str) -> None:
        self.model = keras.models.clone_model(subject.model)
        self.model.set_weights(subject.model.get_weights())
        self.model.compile(
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            jit_compile=jit_compile,
        )
        self.masks = ablation_masks(self.model)
        self.subject, self.batch_size = subject, batch_size

    @staticmethod
    def settings(subject: Subject) -> list[dict[str, Any]]:
        # On CPU, XLA makes TensorFlow's convolutions slower.
        dense = all(len(mask.output.shape) == 2 for mask in ablation_masks(subject.model))
        slower = not limits.has_gpu() and not dense and keras.backend.backend() == "tensorflow"
        return [
            {"batch_size": n, "jit_compile": False if slower else "auto"}
            for n in sorted({32, 256, *batch_sizes(subject)})
        ]

    def __call__(self, keep: np.ndarray) -> Answers:
        n_images = len(self.subject.images)
        found = []
        for lesion in keep.astype(np.float32):
            for mask, part in zip(self.masks, _split(lesion, self.masks), strict=True):
                mask.keep.assign(part)
            found.append(
                self.model.evaluate(
                    self.subject.images,
                    self.subject.labels,
                    batch_size=self.batch_size,
                    verbose=0,
                )
            )
        loss, accuracy = np.array(found, np.float64).T
        return Answers(np.rint(accuracy * n_images).astype(np.int64), loss * n_images)


class KerasEvaluate32(KerasEvaluate):
    """The same with all that Keras does if it is told nothing."""

    name = "keras_evaluate_32"

    @staticmethod
    def settings(subject: Subject) -> list[dict[str, Any]]:
        return [{"batch_size": 32, "jit_compile": "auto"}]


class CompiledForward(_Basics):
    """The whole network as one compiled function of images and masks, a call for each lesion and
    batch of images; images and counts stay on the device."""

    name = "compiled_forward"

    def __init__(self, subject: Subject, batch_size: int, xla: bool) -> None:
        self.masks = ablation_masks(subject.model)
        model, masks = subject.model, self.masks

        def forward(images: Any, labels: Any, keeps: Any) -> tuple[Any, Any]:
            mapping = [(mask.keep, keep) for mask, keep in zip(masks, keeps, strict=True)]
            with keras.StatelessScope(state_mapping=mapping):
                logits = model(images, training=False)
            hit = ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), labels)
            loss = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
            return ops.sum(ops.cast(hit, "int32")), ops.sum(loss)

        self.forward = passes.compiled(forward, xla)
        self.batches = [
            (
                ops.convert_to_tensor(subject.images[start : start + batch_size]),
                ops.convert_to_tensor(subject.labels[start : start + batch_size]),
            )
            for start in range(0, len(subject.images), batch_size)
        ]

    @staticmethod
    def settings(subject: Subject) -> list[dict[str, Any]]:
        # JAX always compiles with XLA.
        xla = [True] if keras.backend.backend() == "jax" else [True, False]
        return [{"batch_size": n, "xla": each} for n in batch_sizes(subject) for each in xla]

    def __call__(self, keep: np.ndarray) -> Answers:
        found = []
        for lesion in keep.astype(np.float32):
            keeps = [ops.convert_to_tensor(part) for part in _split(lesion, self.masks)]
            found.append([self.forward(*batch, keeps) for batch in self.batches])
        parts = np.array([[[float(n) for n in pair] for pair in each] for each in found])
        n_correct, loss_sum = parts.reshape(len(keep), -1, 2).sum(axis=1).T
        return Answers(np.rint(n_correct).astype(np.int64), loss_sum)


def _split(lesion: np.ndarray, masks: Sequence[AblationMask]) -> list[np.ndarray]:
    return np.split(lesion, np.cumsum([mask.n_units for mask in masks])[:-1])


# --- PyTorch --------------------------------------------------------------------------------------


class _Step(NamedTuple):
    """One layer. inputs, output: numbers of tensors. done: tensors that nobody reads after it."""

    module: Any
    inputs: tuple[int, ...]
    output: int
    mask: str | None
    done: tuple[int, ...]


class TorchNetwork:
    """The subject's network and images in PyTorch: the same layers with the same weights,
    convolutions in channels-last memory, BatchNorm as at inference.

    Each mask is an `Identity`, on which a hook can be put: `masks`, by layer name.
    """

    def __init__(self, subject: Subject, batch_size: int) -> None:
        import torch

        self.torch = torch
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.masks: dict[str, Any] = {}
        masks = ablation_masks(subject.model)
        self.sizes = {mask.name: mask.n_units for mask in masks}
        self.positions = {mask.name: len(mask.output.shape) - 2 for mask in masks}
        self._steps = self._read(subject.model)
        images = torch.from_numpy(subject.images).permute(0, 3, 1, 2).to(self.device)
        labels = torch.from_numpy(subject.labels.astype(np.int64)).to(self.device)
        self.batches = [
            (part.contiguous(memory_format=torch.channels_last), of_part)
            for part, of_part in zip(
                images.split(batch_size), labels.split(batch_size), strict=True
            )
        ]

    def logits(self, images: Any, keeps: dict[str, Any] | None = None) -> Any:
        """keeps: for some masks by name a tensor (n_units,) by which to multiply."""
        values = {0: images}
        for step in self._steps:
            value = step.module(*(values[number] for number in step.inputs))
            if keeps and step.mask in keeps:
                shape = (1, -1, *[1] * (value.ndim - 2))
                value = value * keeps[step.mask].reshape(shape)
            for number in step.done:
                del values[number]
            values[step.output] = value
        return value

    def tally(self, images: Any, labels: Any, keeps: dict[str, Any] | None = None) -> Any:
        """float64 (2,): how many images are right, and the summed loss."""
        logits = self.logits(images, keeps)
        hit = (logits.argmax(dim=1) == labels).sum()
        loss = self.torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
        return self.torch.stack([hit.double(), loss.double()])

    def _read(self, model: keras.Model) -> list[_Step]:
        """The model's layers in the order in which Keras calls them."""
        numbers: dict[int, int] = {}
        alive: list[Any] = []  # id() is unique only among living objects
        calls: list[tuple[Any, tuple[int, ...], int]] = []

        def number(tensor: Any) -> int:
            alive.append(tensor)
            return numbers.setdefault(id(tensor), len(numbers))

        def record(layer: Any, *args: Any, **kwargs: Any) -> Any:
            result = layer(*args, **kwargs)
            tensors = [x for x in keras.tree.flatten(args) if isinstance(x, keras.KerasTensor)]
            calls.append((layer, tuple(number(tensor) for tensor in tensors), number(result)))
            return result

        keras.models.clone_model(
            keras.Model(model.inputs, model.outputs),
            clone_function=lambda layer: layer,
            call_function=record,
        )
        last_read = {tensor: i for i, (_, inputs, _) in enumerate(calls) for tensor in inputs}
        steps = []
        for i, (layer, inputs, output) in enumerate(calls):
            module = self._module(layer)
            mask = layer.name if isinstance(layer, AblationMask) else None
            if mask:
                self.masks[mask] = module
            done = tuple(tensor for tensor in dict.fromkeys(inputs) if last_read[tensor] == i)
            steps.append(_Step(module, inputs, output, mask, done))
        return steps

    def _module(self, layer: Any) -> Any:
        nn, torch = self.torch.nn, self.torch
        if isinstance(layer, AblationMask):
            module = nn.Identity()
        elif isinstance(layer, keras.layers.Dense):
            module = nn.Linear(*layer.kernel.shape)
            self._copy(module.weight, _array(layer.kernel).T)
            self._copy(module.bias, _array(layer.bias))
            if layer.activation is keras.activations.relu:
                module = nn.Sequential(module, nn.ReLU(inplace=True))
        elif isinstance(layer, keras.layers.Conv2D):
            module = self._convolution(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            module = nn.BatchNorm2d(layer.gamma.shape[0], eps=layer.epsilon)
            self._copy(module.weight, _array(layer.gamma))
            self._copy(module.bias, _array(layer.beta))
            self._copy(module.running_mean, _array(layer.moving_mean))
            self._copy(module.running_var, _array(layer.moving_variance))
        elif isinstance(layer, keras.layers.ReLU):
            module = nn.ReLU(inplace=True)
        elif isinstance(layer, keras.layers.MaxPooling2D):
            pads = _pads(layer, layer.pool_size)
            module = nn.MaxPool2d(layer.pool_size, layer.strides)
            if any(pads):
                module = nn.Sequential(nn.ConstantPad2d(pads, -torch.inf), module)
        elif isinstance(layer, keras.layers.GlobalAveragePooling2D):
            return lambda x: x.mean(dim=(2, 3))
        elif isinstance(layer, keras.layers.Add):
            return lambda *tensors: sum(tensors[1:], start=tensors[0])
        elif isinstance(layer, keras.layers.Flatten):
            # Keras flattens with the maps last.
            return lambda x: x.permute(0, 2, 3, 1).flatten(1)
        else:
            raise ValueError(f"no PyTorch counterpart for {type(layer).__name__} {layer.name}")
        module = module.to(self.device, memory_format=torch.channels_last)
        return module.eval().requires_grad_(False)

    def _convolution(self, layer: Any) -> Any:
        nn = self.torch.nn
        left, right, top, bottom = pads = _pads(layer, layer.kernel_size)
        symmetric = left == right and top == bottom
        _, _, n_in, n_out = layer.kernel.shape
        module = nn.Conv2d(
            n_in,
            n_out,
            layer.kernel_size,
            layer.strides,
            padding=(top, left) if symmetric else 0,
            bias=layer.bias is not None,
        )
        self._copy(module.weight, _array(layer.kernel).transpose(3, 2, 0, 1))
        if layer.bias is not None:
            self._copy(module.bias, _array(layer.bias))
        return module if symmetric else nn.Sequential(nn.ZeroPad2d(pads), module)

    def _copy(self, weight: Any, values: np.ndarray) -> None:
        weight.data.copy_(self.torch.from_numpy(np.ascontiguousarray(values)))


class _Torch(_Basics):
    # Another library sums in another order: an image on the edge may fall on the other side.
    slack = 1

    def __init__(self, subject: Subject, batch_size: int) -> None:
        self.network = TorchNetwork(subject, batch_size)
        self.torch = self.network.torch

    @staticmethod
    def settings(subject: Subject) -> list[dict[str, Any]]:
        return [{"batch_size": n} for n in batch_sizes(subject)]

    def _by_mask(self, keep: np.ndarray) -> list[tuple[str, np.ndarray]]:
        """The masks by name and which of their units each lesion ablates: (n_lesions, size)."""
        sizes = self.network.sizes
        parts = np.split(~keep, np.cumsum(list(sizes.values()))[:-1], axis=1)
        return list(zip(sizes, parts, strict=True))


class TorchHooks(_Torch):
    """A forward hook that zeroes the units, and a forward pass of the whole network."""

    name, packages = "torch_hooks", ("torch",)

    def __call__(self, keep: np.ndarray) -> Answers:
        ablated = self._by_mask(keep)
        found = []
        with self.torch.inference_mode():
            for lesion in range(len(keep)):
                hooks = [
                    self.network.masks[name].register_forward_hook(_zeroing(part[lesion]))
                    for name, part in ablated
                    if part[lesion].any()
                ]
                found.append([self.network.tally(*batch) for batch in self.network.batches])
                for hook in hooks:
                    hook.remove()
            return _answers([sum(parts[1:], start=parts[0]) for parts in found], self.torch)


class TorchVmap(_Torch):
    """`torch.func.vmap` over the masks of one layer, so many at a time as memory allows. What
    stands before the layer is not batched, hence computed once for all of them."""

    name, packages, single_only = "torch_vmap", ("torch",), True

    # Bytes that the widest activations of a chunk may take: more is slower, not only larger.
    most_bytes = 1 << 30

    def __init__(self, subject: Subject, batch_size: int, chunk: int) -> None:
        super().__init__(subject, batch_size)
        self.block = chunk

    @classmethod
    def settings(cls, subject: Subject) -> list[dict[str, Any]]:
        masks = ablation_masks(subject.model)
        widest = 4 * max(int(np.prod(mask.output.shape[1:])) for mask in masks)
        settings = [
            {"batch_size": n, "chunk": chunk}
            for n in batch_sizes(subject)
            for chunk in (4, 16, 64)
            if n * chunk * widest <= cls.most_bytes
        ]
        return settings or [{"batch_size": batch_sizes(subject)[0], "chunk": 1}]

    def __call__(self, keep: np.ndarray) -> Answers:
        torch, network = self.torch, self.network
        found = torch.zeros((len(keep), 2), dtype=torch.float64, device=network.device)
        with torch.no_grad():
            for name, part in self._by_mask(keep):
                here = np.flatnonzero(part.any(axis=1))
                for start in range(0, len(here), self.block):
                    lesions = here[start : start + self.block]
                    keeps = torch.from_numpy((~part[lesions]).astype(np.float32))

                    def one(kept: Any, images: Any, labels: Any, name: str = name) -> Any:
                        return network.tally(images, labels, {name: kept})

                    over_masks = torch.func.vmap(one, in_dims=(0, None, None))
                    for batch in network.batches:
                        found[lesions] += over_masks(keeps.to(network.device), *batch)
        return _answers(list(found), torch)


class Captum(_Torch):
    """Captum's `LayerFeatureAblation` on the masked layers, one after another. The forward function
    gives sums over all images, so it is called once for each unit."""

    name, packages, single_only = "captum", ("torch", "captum"), True

    def __init__(self, subject: Subject, batch_size: int) -> None:
        from captum.attr import LayerFeatureAblation

        super().__init__(subject, batch_size)
        self._ablation = LayerFeatureAblation
        with self.torch.no_grad():
            self._intact = sum(self.network.tally(*batch) for batch in self.network.batches)

    def work(self, keep: np.ndarray) -> float:
        """Forward passes: two of each layer with lesions, one for each lesion, and one for all the
        other units of the layer, where there are any."""
        ablated = [part for _, part in self._by_mask(keep) if part.any()]
        others = sum(
            len(np.unique(part.argmax(1)[part.any(1)])) < part.shape[1] for part in ablated
        )
        return float(len(keep) + 2 * len(ablated) + others)

    def __call__(self, keep: np.ndarray) -> Answers:
        torch, network = self.torch, self.network
        found = self._intact.repeat(len(keep), 1)
        for name, part in self._by_mask(keep):
            here = np.flatnonzero(part.any(axis=1))
            if not len(here):
                continue
            units = part[here].argmax(axis=1)
            # Captum ablates together the units of one number: each of ours has its own.
            groups = np.zeros((1, part.shape[1], *[1] * network.positions[name]), np.int64)
            groups[0, units] = np.arange(len(units)).reshape(groups[0, units].shape) + 1
            layer_mask = torch.from_numpy(groups).to(network.device)
            for images, labels in network.batches:

                def sums(images: Any, labels: Any = labels) -> Any:
                    return network.tally(images, labels)

                change = self._ablation(sums, network.masks[name]).attribute(
                    images, layer_mask=layer_mask, perturbations_per_eval=1
                )
                # (2, n_units, *positions): intact minus ablated, alike at every position.
                found[here] -= change.reshape(2, part.shape[1], -1)[:, units, 0].T
        return _answers(list(found), torch)


def _zeroing(ablated: np.ndarray) -> Any:
    units = np.flatnonzero(ablated).tolist()
    which = units[0] if len(units) == 1 else units

    def hook(module: Any, inputs: Any, output: Any) -> None:
        output[:, which] = 0

    return hook


def _answers(tallies: list[Any], torch: Any) -> Answers:
    n_correct, loss_sum = torch.stack(tallies).cpu().numpy().T
    return Answers(np.rint(n_correct).astype(np.int64), loss_sum)


def _pads(layer: Any, size: Sequence[int]) -> tuple[int, int, int, int]:
    """(left, right, top, bottom) of Keras's "same", which pads more at the right and bottom."""
    if layer.padding == "valid":
        return (0, 0, 0, 0)
    (height, width), strides = layer.input.shape[1:3], layer.strides
    pads = []
    for n, k, stride in ((width, size[1], strides[1]), (height, size[0], strides[0])):
        total = max(0, (-(-n // stride) - 1) * stride + k - n)
        pads += [total // 2, total - total // 2]
    return (pads[0], pads[1], pads[2], pads[3])


def _array(weight: Any) -> np.ndarray:
    return np.array(ops.convert_to_numpy(weight))


RIVALS: tuple[Any, ...] = (
    KerasEvaluate,
    KerasEvaluate32,
    CompiledForward,
    TorchHooks,
    TorchVmap,
    Captum,
)
