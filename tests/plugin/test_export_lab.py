"""The lab of a static copy: the browser answers as the server's process would."""

import base64
import io
import json
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from tb_plugin.export import making, networks

ASK = """async (question) => {
  try {
    const settings = { method: "POST", body: JSON.stringify({ client: "me", ...question }) };
    const { get } = singleDirections.use("site/files.js");
    return await (await get("api/v1/lab/ask", settings)).json();
  } catch (error) {
    return { code: error.code, message: error.message };
  }
}"""
DEMO = Path(__file__).parents[2] / "docs" / "demo"
CLOSE = {"rel": 1e-4, "abs": 2e-5}  # answers have five digits


def save_with_images(model, folder: Path, shape: tuple[int, ...]) -> None:
    """Saves a model of four classes with random images beside it."""
    folder.mkdir()
    model.save(folder / "model.keras")
    np.savez(
        folder / "model.images.npz",
        images=np.random.default_rng(0).integers(0, 256, (80, *shape)).astype("u1"),
        labels=np.arange(80) % 4,
        class_names=np.array(["zero", "one", "two", "three"]),
    )


def halved(model):
    """The same model with weights that half precision holds."""
    model.set_weights([w.astype(np.float16).astype(np.float32) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Models that a browser can run (dense, rescaled, sequential), and some that it cannot."""
    import keras

    import repro
    from repro.core.settings import TrainConfig, to_dict

    made = tmp_path_factory.mktemp("networks")
    shape = (8, 8, 1)
    save_with_images(halved(repro.mlp(shape, 4, (12, 6), seed=3)), made / "tiny", shape)
    rescaled = repro.mlp(shape, 4, (9,), seed=2, pixel_range="-1 to 1")
    save_with_images(halved(rescaled), made / "rescaled", shape)
    dense = keras.layers.Dense
    chain = keras.Sequential(
        [
            keras.Input((5,)),
            dense(7, "relu", name="first", use_bias=False),
            repro.AblationMask(name="first_mask"),
            keras.layers.Dropout(0.5),
            dense(4, "softmax"),
        ]
    )
    save_with_images(halved(chain), made / "sequential", (5,))
    lesioned = repro.mlp(shape, 4, (3,))
    repro.ablate(lesioned, {"hidden_1": [1]})
    save_with_images(lesioned, made / "lesioned", shape)
    repro.mlp(shape, 4, (3,)).save(made / "no_images.keras")
    unmasked = keras.Sequential([keras.Input((5,)), dense(3, "relu", name="bare"), dense(4)])
    save_with_images(unmasked, made / "unmasked", (5,))
    (made / "broken.keras").write_bytes(b"cut short")
    (made / "run").mkdir()
    halved(repro.mlp((28, 28, 1), 10, (5,), seed=1)).save(made / "run" / "model.keras")
    config = TrainConfig(
        "mnist",
        "mlp",
        hidden_units=(5,),
        n_train=200,
        origin="embedded",
    )
    (made / "run" / "config.json").write_text(json.dumps(to_dict(config)), encoding="utf-8")
    (made / "lost").mkdir()
    shutil.copy(made / "run" / "model.keras", made / "lost")
    (made / "lost" / "config.json").write_text('{"dataset": "nowhere"}', encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def site(tmp_path_factory, folder, demo_logdir) -> tuple[Path, making.Written]:
    out = tmp_path_factory.mktemp("lab_site") / "site"
    return out, making.export(demo_logdir, out, making.Options(unit_pages=0, models=folder))


@pytest.fixture(scope="module")
def page(browser, site):
    context = browser.new_context(offline=True)
    opened = context.new_page()
    opened.goto((site[0] / "index.html").as_uri())
    yield opened
    context.close()


def pixels(png: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))


def same(ours, theirs, where=""):
    """Numbers alike to five digits, pictures pixel by pixel, everything else equal."""
    if isinstance(theirs, dict):
        for key in theirs:
            if key not in ("ms", "sha256", "images_sha256"):
                same(ours[key], theirs[key], f"{where}/{key}")
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs), where
        for i, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            same(one, other, f"{where}/{i}")
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, **CLOSE), where
    elif isinstance(theirs, str) and where.rpartition("/")[2] in ("png", "weights"):
        assert np.abs(pixels(ours).astype(int) - pixels(theirs)).max() <= 1, where
    else:
        assert ours == theirs, where


@pytest.mark.browser
@pytest.mark.parametrize("model", ["tiny", "rescaled", "sequential", "run"])
def test_the_browser_answers_as_the_server_does(page, folder, model, monkeypatch, tmp_path):
    from repro.study.lab_session import Session

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))  # the embedded images, on every machine

    session = Session(str(folder / model / "model.keras"))
    named = {"model": f"{model}/model"}
    opened = page.evaluate(ASK, {"do": "open", **named})
    theirs = session.open()
    same(opened, theirs)
    assert opened["sha256"] == session.sha256
    names = [layer["name"] for layer in theirs["layers"]]
    rng = np.random.default_rng(0)
    for share in (0, 0.2, 0.7, 1):
        lesions = {
            layer["name"]: np.flatnonzero(rng.random(layer["units"]) < share).tolist()
            for layer in theirs["layers"]
        }
        asked = {"do": "accuracy", **named, "lesions": lesions}
        same(page.evaluate(ASK, asked), session.accuracy(lesions))
        for image in (0, 7):
            asked = {"do": "outputs", **named, "lesions": lesions, "image": image}
            same(page.evaluate(ASK, asked), session.outputs(lesions, image))
    for by in ("class_selectivity", "importance"):
        ours, theirs = page.evaluate(ASK, {"do": "rank", **named, "by": by}), session.rank(by)
        value = {tuple(unit): one for unit, one in zip(ours["units"], ours["values"], strict=True)}
        in_order = [value[tuple(unit)] for unit in theirs["units"]]
        assert in_order == pytest.approx(theirs["values"], **CLOSE)
        assert ours["values"] == sorted(ours["values"], reverse=True)
        assert ours["read_on"] == theirs["read_on"]
    for unit in (0, 2):
        same(
            page.evaluate(ASK, {"do": "unit", **named, "layer": names[-1], "unit": unit}),
            session.unit(names[-1], unit),
        )
        same(
            page.evaluate(ASK, {"do": "unit", **named, "layer": names[0], "unit": unit}),
            session.unit(names[0], unit),
        )


@pytest.mark.browser
def test_random_orders_begin_intact_and_end_with_every_unit_deleted(page):
    named = {"model": "tiny/model"}
    everything = {"hidden_1": list(range(12)), "hidden_2": list(range(6))}
    counts = [0, 5, 10, 18]
    found = [
        page.evaluate(ASK, {"do": "order", **named, "seed": seed, "counts": counts})["n_correct"]
        for seed in (0, 1, 2, 0)
    ]
    for lesions, place in (({}, 0), (everything, 3)):
        alone = page.evaluate(ASK, {"do": "accuracy", **named, "lesions": lesions})
        assert {one[place] for one in found} == {sum(alone["n_correct"])}
    assert found[0] == found[3] and len({tuple(one) for one in found}) == 3


@pytest.mark.browser
def test_wrong_questions_get_a_sentence(page):
    named = {"model": "tiny/model"}
    for question, code in [
        ({"do": "open", "model": "nothing"}, "not_found"),
        ({"do": "accuracy", **named, "lesions": {"hidden_1": [12]}}, "invalid_argument"),
        ({"do": "accuracy", **named, "lesions": {"logits": [0]}}, "invalid_argument"),
        ({"do": "outputs", **named, "lesions": {}, "image": 99}, "invalid_argument"),
        ({"do": "unit", **named, "layer": "hidden_2", "unit": 6}, "invalid_argument"),
        ({"do": "rank", **named, "by": "beauty"}, "invalid_argument"),
        ({"do": "dance", **named}, "invalid_argument"),
        ({"do": "open", **named, "sha256": "0" * 64}, "model_changed"),
    ]:
        assert page.evaluate(ASK, question)["code"] == code, question
    assert page.evaluate(ASK, {"do": "cancel", **named}) == {"cancelled": False}


def test_networks_that_a_browser_cannot_run_are_told_with_the_reason(site, folder):
    told = site[1].not_in_lab
    assert set(told) == {"lesioned", "no_images", "unmasked", "broken", "lost"}
    assert told["lesioned"] == "units of it are deleted already"
    assert "no images beside it" in told["no_images"]
    assert told["unmasked"] == "its layer bare has no mask"
    assert "cannot be read" in told["broken"]


@pytest.mark.browser
def test_units_are_deleted_in_the_page_and_the_answers_follow(browser, site):
    context = browser.new_context(offline=True)
    page = context.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto((site[0] / "index.html").as_uri() + "#view=lab&model=tiny%2Fmodel")
    page.locator(".unit").first.click()
    page.get_by_text("1 of 18 units deleted").wait_for()
    page.locator(".lab-status", has_text="%").wait_for()
    assert "lesions=0%3A0" in page.url
    assert problems == []
    context.close()


@pytest.mark.browser
def test_each_network_has_a_page(browser, site):
    assert len(list((site[0] / "lab").iterdir())) == 4
    (file,) = site[0].glob("lab/tiny-*.html")
    assert file.relative_to(site[0]).as_posix() in (site[0] / "pages.html").read_text()
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(file.as_uri())
    page.get_by_text("hidden_2").first.wait_for()
    assert page.locator(".unit").count() == 18
    context.close()


@pytest.mark.browser
def test_an_embed_of_the_lab_is_the_whole_lab_without_the_list(browser, site):
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto((site[0] / "index.html").as_uri() + "?embed#view=lab&model=tiny%2Fmodel")
    page.locator(".unit").first.click()
    page.get_by_text("1 of 18 units deleted").wait_for()
    assert page.locator(".tabs, .side, .hint").locator("visible=true").count() == 0
    context.close()


@pytest.mark.browser
def test_long_work_ends_when_nobody_waits_for_it(page):
    ended = page.evaluate(
        """async () => {
          const { get } = singleDirections.use("site/files.js");
          const counts = Array.from({ length: 64 }, (_, i) => i % 18);
          const question = { do: "order", client: "me", model: "tiny/model", seed: 0, counts };
          const stop = new AbortController();
          const settings = { body: JSON.stringify(question), signal: stop.signal };
          const asked = get("api/v1/lab/ask", settings);
          stop.abort();
          return asked.then(() => "an answer", (error) => error.name);
        }"""
    )
    assert ended == "AbortError"


def test_weights_that_lie_elsewhere_are_not_read(folder, tmp_path):
    """A HDF5 file may name any other file of the machine."""
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["kernel"] = np.ones((64, 12), "f4")
    source = folder / "tiny" / "model.keras"
    for hostile in (
        lambda group: h5py.ExternalLink(str(secret), "/kernel"),
        lambda group: h5py.SoftLink("/layers/dense_1/vars/0"),
    ):
        path = tmp_path / "model.keras"
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
            content = io.BytesIO(old.read("model.weights.h5"))
            with h5py.File(content, "a") as file:
                del file["layers/dense/vars/0"]
                file["layers/dense/vars"]["0"] = hostile(file)
            new.writestr("config.json", old.read("config.json"))
            new.writestr("model.weights.h5", content.getvalue())
        with pytest.raises(networks.NetworkError, match="cannot be read"):
            networks.read_network(path)


def test_a_config_of_another_form_is_refused(folder, tmp_path):
    source = folder / "tiny" / "model.keras"
    for change in (
        lambda config: config.clear(),
        lambda config: config.update(class_name="Mine"),
        lambda config: config["config"]["layers"].pop(2),
        lambda config: config["config"]["layers"][2].update(class_name="Conv2D"),
        lambda config: config["config"]["layers"][2]["config"].update(units=10**9),
        lambda config: config["config"]["layers"][2]["config"].update(activation="tanh"),
    ):
        path = tmp_path / "model.keras"
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
            config = json.loads(old.read("config.json"))
            change(config)
            new.writestr("config.json", json.dumps(config))
            new.writestr("model.weights.h5", old.read("model.weights.h5"))
        with pytest.raises(networks.NetworkError):
            networks.read_network(path)
