"""The lab in a browser alone: its two networks, its digits, and the page that a command makes."""

import functools
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tb_plugin.export.networks import read_images, read_network

DOCS = Path(__file__).parents[2] / "docs"
DEMO = DOCS / "demo"
LARGEST_DEMO = 600_000  # bytes of all its files
LARGEST_ANIMATION = 1_500_000  # bytes
NAMES = ("true_labels", "shuffled_labels")
FORWARD = """async ([model, deleted, image]) => {
  const { DenseNetwork, fromHalf } = singleDirections.use("numbers/dense_network.js");
  const { bytesOf, floatsOf } = singleDirections.use("site/bytes.js");
  const files = singleDirections.files;
  const stored = files[files.index.lab.files[model]];
  const layers = stored.layers.map((layer) => ({
    ...layer, kernel: fromHalf(bytesOf(layer.kernel)), bias: floatsOf(layer.bias) }));
  const images = files[stored.asked[""].images];
  const pixels = Float32Array.from(bytesOf(images.pixels), (byte) => byte / 255);
  const network = new DenseNetwork(layers, pixels);
  const found = network.answer(image, deleted);
  const times = [];
  for (let i = 0; i < 21; i++) {
    const started = performance.now();
    for (let shown = 0; shown < 20; shown++) network.answer(shown, deleted);
    times.push(performance.now() - started);
  }
  times.sort((a, b) => a - b);
  return { activations: found.activations.map((one) => [...one]), outputs: [...found.outputs],
           ms: times[10] };
}"""


def script(name: str):
    """A program of docs/, which is no package."""
    if str(DOCS) not in sys.path:
        sys.path.append(str(DOCS))
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


network_of = functools.cache(lambda name: read_network(DEMO / f"{name}.keras"))
images_of = functools.cache(lambda name: read_images(DEMO / f"{name}.images.npz"))


def forward(
    name: str, deleted: list[np.ndarray], image: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Activations of the hidden layers, and the logits, by NumPy in double precision."""
    now = images_of(name).pixels[image].ravel() / np.float64(255)
    activations = []
    for place, layer in enumerate(network_of(name).layers):
        now = now @ layer.kernel.astype(np.float64) + layer.bias
        if place < len(deleted):
            now = np.where(deleted[place], 0, np.maximum(now, 0))
            activations.append(now)
    return activations, now


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("lab") / "lab"
    script("browser_lab").page(out)
    return out / "index.html"


@pytest.fixture(scope="module")
def page(browser, page_file):
    context = browser.new_context(offline=True)
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.goto(page_file.as_uri())
    yield opened
    assert problems == []
    context.close()


def test_the_networks_are_small_files_of_ours_alone():
    files = sorted(DEMO.iterdir())
    assert [file.name for file in files] == sorted(
        f"{name}{ending}" for name in NAMES for ending in (".keras", ".images.npz")
    )
    assert sum(file.stat().st_size for file in files) < LARGEST_DEMO
    digits = script("digits")
    drawn, answers = digits.images(400, seed=0)
    for name in NAMES:
        images = images_of(name)
        np.testing.assert_array_equal(images.pixels, drawn)
        np.testing.assert_array_equal(images.truth, answers)
    assert not np.array_equal(images.labels, answers)


@pytest.mark.parametrize("name", NAMES)
def test_each_network_is_as_the_paper_has_it_and_knows_its_images(name):
    network, images = network_of(name), images_of(name)
    assert [layer.kernel.shape for layer in network.layers] == [(784, 128), (128, 128), (128, 10)]
    for layer in network.layers:
        assert np.array_equal(layer.kernel, layer.kernel.astype(np.float16))
    none = [np.zeros(128, bool)] * 2
    answers = [int(np.argmax(forward(name, none, i)[1])) for i in range(len(images.pixels))]
    np.testing.assert_array_equal(answers, images.labels)


def test_keras_opens_them_too():
    import repro

    for name in NAMES:
        model = repro.load_model(DEMO / f"{name}.keras")
        pixels = images_of(name).pixels[:20] / np.float32(255)
        logits = model.predict(pixels, verbose=0)
        none = [np.zeros(128, bool)] * 2
        ours = np.stack([forward(name, none, i)[1] for i in range(20)])
        np.testing.assert_allclose(logits, ours, atol=1e-4)


@pytest.mark.browser
@pytest.mark.parametrize("name", NAMES)
def test_the_browser_computes_what_numpy_computes_in_under_five_milliseconds(page, name):
    rng = np.random.default_rng(0)
    times = []
    for share in (0, 0.1, 0.5, 0.9):
        deleted = [rng.random(128) < share for _ in range(2)]
        image = int(rng.integers(400))
        asked = [name, [one.tolist() for one in deleted], image]
        found = page.evaluate(FORWARD, asked)
        activations, outputs = forward(name, deleted, image)
        for ours, theirs in zip(found["activations"], activations, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found["outputs"], outputs, rtol=1e-5, atol=1e-5)
        times.append(found["ms"])
    assert max(times) < 5, times


@pytest.mark.browser
def test_the_page_opens_on_the_lab_and_shuffled_labels_lean_on_single_units(page):
    left = {}
    for name in NAMES:
        page.goto(page.url.partition("#")[0] + f"#view=lab&model={name}")
        page.locator(".unit").first.wait_for()
        counts = [0, 100, 256]
        asked = {"do": "order", "client": "me", "model": name, "counts": counts}
        curves = [
            page.evaluate(
                """async (question) => {
                  const { get } = singleDirections.use("site/files.js");
                  const settings = { body: JSON.stringify(question) };
                  return (await get("api/v1/lab/ask", settings)).json();
                }""",
                {**asked, "seed": seed},
            )["n_correct"]
            for seed in range(10)
        ]
        assert {curve[0] for curve in curves} == {400}
        left[name] = np.mean([curve[1] for curve in curves])
    assert left["true_labels"] > left["shuffled_labels"] + 40, json.dumps(left)


def test_the_animation_of_the_readme_is_small_and_moves():
    file = DOCS / "screenshots" / "two_networks.webp"
    assert f"docs/screenshots/{file.name}" in (DOCS.parent / "README.md").read_text()
    assert file.stat().st_size < LARGEST_ANIMATION
    with Image.open(file) as animation:
        assert animation.n_frames > 20
        first = np.asarray(animation.convert("RGB"), int)
        animation.seek(animation.n_frames - 1)
        assert np.abs(np.asarray(animation.convert("RGB"), int) - first).mean() > 1
