"""The lesion lab: who may ask what, whose turn it is, and a child process that may fail."""

import argparse
import base64
import hashlib
import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend import application
from tensorboard.plugins import base_plugin
from werkzeug.test import Client

import tb_plugin
from repro.core import results
from repro.core.kinds import Intact
from repro.core.settings import TrainConfig, to_dict
from repro.data import load, source
from repro.data.images import Images, Splits
from repro.study import lab_child, lab_session
from tb_plugin.arguments import LARGEST_BODY
from tb_plugin.lab import Lab
from tb_plugin.lab import process as lab_process
from tb_plugin.lab.process import ChildProcess, Ending, LabError
from tb_plugin.lab.questions import ARGUMENTS
from tb_plugin.lab.turns import Turns
from tb_plugin.loader import SingleDirectionsLoader
from tb_plugin.plugin import SingleDirectionsPlugin
from tests.helpers.boards import IMPORTANCE, ROUTES, FakeProvider, write_importance

ASK = f"{ROUTES}/api/v1/lab/ask"
MODELS = f"{ROUTES}/api/v1/lab/models"
OPEN = {"do": "open", "client": "me", "model": "a/model"}


def flags_of(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bind_all", action="store_true")
    parser.add_argument("--host", default=None)
    SingleDirectionsLoader().define_flags(parser)
    return parser.parse_args(arguments)


def serve(*arguments: str) -> tuple[Client, SingleDirectionsPlugin]:
    provider = FakeProvider()
    context = base_plugin.TBContext(data_provider=provider, flags=flags_of(*arguments))
    plugin = SingleDirectionsPlugin(context)
    return Client(application.TensorBoardWSGI([plugin], data_provider=provider)), plugin


@pytest.fixture
def models(tmp_path) -> Path:
    folder = tmp_path / "models"
    for name in ("a/model.keras", "b.keras", "notes.txt", "c.h5", "d.keras.zip"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no model")
    outside = tmp_path / "secret.keras"
    outside.write_bytes(b"not offered")
    (folder / "link.keras").symlink_to(outside)
    return folder


class Echo:
    """Stands where the child process stands: answers with what it was asked."""

    def __init__(self):
        self.asked: list[dict] = []

    def ask(self, question, seconds, ending=None):
        self.asked.append(question)
        return {"heard": question["do"]}

    def stop(self):
        pass


@pytest.fixture
def client(models):
    served, plugin = serve(f"--single_directions_models={models}")
    plugin._lab._child = Echo()
    served.child = plugin._lab._child
    return served


def failing(code):
    def fail(question, seconds, ending):
        raise LabError(code, "A sentence.")

    return fail


def post(client, body=OPEN, **headers):
    sent = {"Content-Type": "application/json"} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(ASK, data=content, headers=sent)


# ------------------------------------------------------------------------------- on and off


def test_the_lab_is_off_without_its_flag():
    client, plugin = serve()
    listing = client.get(f"{ROUTES}/api/v1/lab/models").json
    assert (listing["enabled"], listing["models"]) == (False, [])
    assert "--single_directions_models" in listing["reason"]
    reply = post(client)
    assert (reply.status_code, reply.json["error"]["code"]) == (403, "lab_off")
    assert plugin.is_active() is False


@pytest.mark.parametrize("reach", ["--bind_all", "--host=0.0.0.0", "--host=example.org"])
def test_a_tensorboard_that_others_reach_needs_a_second_flag(models, reach):
    folder = f"--single_directions_models={models}"
    listing = serve(folder, reach)[0].get(f"{ROUTES}/api/v1/lab/models").json
    assert listing["enabled"] is False and "--single_directions_remote" in listing["reason"]
    listing = serve(folder, reach, "--single_directions_remote")[0]
    assert listing.get(f"{ROUTES}/api/v1/lab/models").json["enabled"] is True


def test_a_folder_that_is_not_there_is_said():
    listing = serve("--single_directions_models=/no/such/folder")[0]
    reason = listing.get(f"{ROUTES}/api/v1/lab/models").json["reason"]
    assert reason == "--single_directions_models does not name a folder."


def test_with_the_lab_on_the_tab_is_there_without_data(models):
    assert serve(f"--single_directions_models={models}")[1].is_active() is True


def test_flags_that_another_plugin_took_do_no_harm():
    parser = argparse.ArgumentParser()
    SingleDirectionsLoader().define_flags(parser)
    SingleDirectionsLoader().define_flags(parser)
    assert parser.parse_args([]).single_directions_models == ""


# ------------------------------------------------------------------------------- which models


def test_only_keras_files_that_lie_in_the_folder_are_offered(client):
    listing = client.get(f"{ROUTES}/api/v1/lab/models").json
    assert [(m["id"], m["name"]) for m in listing["models"]] == [("a/model", "a"), ("b", "b")]


@pytest.mark.parametrize(
    "model",
    [
        "",
        "link",
        "../secret",
        "a/../../secret",
        "/etc/passwd",
        "c",
        "a/model.keras",
        "A/MODEL",
        "a",
    ],
)
def test_a_model_is_named_by_its_id_and_nothing_else(client, model):
    reply = post(client, OPEN | {"model": model})
    assert (reply.status_code, reply.json["error"]["code"]) == (404, "not_found")
    assert client.child.asked == []


def test_the_child_gets_the_real_path_of_a_listed_model(client, models):
    assert post(client).json == {"heard": "open"}
    assert client.child.asked[0]["path"] == str((models / "a/model.keras").resolve())


# ------------------------------------------------------------------------------- who may ask


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_post_asks(client, method):
    reply = client.open(ASK, method=method)
    assert (reply.status_code, reply.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Type": "application/json; charset=utf-8"}, 415),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "10.0.0.1"}, 403),
    ],
)
def test_what_another_site_could_send_is_refused(client, headers, status):
    assert post(client, **headers).status_code == status
    assert client.child.asked == []


@pytest.mark.parametrize(
    ("refuse", "code"),
    [
        (lambda c: post(c, Origin="http://evil.example"), "forbidden"),
        (lambda c: c.get(MODELS, headers={"Host": "evil.example"}), "forbidden"),
        (lambda c: post(c, Content_Type="text/plain"), "wrong_type"),
        (lambda c: post(c, b" " * (LARGEST_BODY + 1)), "too_large_request"),
        (lambda c: post(c, b"secret"), "invalid_argument"),
        (lambda c: post(c, OPEN | {"secret": 1}), "invalid_argument"),
        (lambda c: post(c, OPEN | {"model": "secret"}), "not_found"),
        (lambda c: c.delete(ASK), "method_not_allowed"),
    ],
)
def test_a_refused_request_is_one_line_in_the_log_without_its_content(client, caplog, refuse, code):
    with caplog.at_level(logging.WARNING, logger="tb_plugin.responses"):
        refuse(client)
    said = [
        record.getMessage() for record in caplog.records if record.name == "tb_plugin.responses"
    ]
    assert said == [f"the lesion lab refused a request: {code}"]


def test_a_body_that_ends_early_is_refused_in_one_sentence(client):
    """As when somebody leaves the page in the middle of a question."""
    reply = client.post(
        ASK,
        input_stream=io.BytesIO(b'{"do": "op'),
        environ_overrides={"CONTENT_LENGTH": "400"},
        headers={"Content-Type": "application/json"},
    )
    assert reply.status_code == 400
    assert reply.json["error"]["message"] == "The body ended before its length."
    assert client.child.asked == []


def test_a_lab_that_is_off_logs_who_asks_and_moving_on_is_no_refusal(client, caplog, monkeypatch):
    with caplog.at_level(logging.WARNING, logger="tb_plugin.responses"):
        post(serve()[0])
        for code in ("busy", "superseded", "cancelled"):
            monkeypatch.setattr(client.child, "ask", failing(code))
            post(client)
    said = [
        record.getMessage() for record in caplog.records if record.name == "tb_plugin.responses"
    ]
    assert [line.rpartition(" ")[2] for line in said] == ["lab_off", "busy"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://evil.example"},
    ],
)
def test_the_list_of_models_is_for_this_machines_own_page(client, headers):
    """Another site, its name pointed at this machine (DNS rebinding), could read it otherwise."""
    reply = client.get(MODELS, headers=headers)
    assert (reply.status_code, b"a/model" in reply.data) == (403, False)
    assert b"a/model" in client.get(MODELS, headers={"Host": "127.0.0.1:6006"}).data


@pytest.mark.parametrize("host", ["localhost", "localhost:6006", "127.0.0.1:1", "[::1]:6006"])
def test_this_machine_may_ask_under_its_names(client, host):
    assert post(client, Host=host, Origin=f"http://{host}").status_code == 200


def test_with_the_remote_flag_any_host_may_ask_from_its_own_page(models):
    client, plugin = serve(
        f"--single_directions_models={models}", "--bind_all", "--single_directions_remote"
    )
    plugin._lab._child = Echo()
    assert post(client, Host="lab.example", Origin="http://lab.example").status_code == 200
    assert post(client, Host="lab.example", Origin="http://evil.example").status_code == 403


# ------------------------------------------------------------------------------- what may be asked


def test_a_body_that_is_too_large_is_not_read(client):
    reply = post(client, b" " * (LARGEST_BODY + 1))
    assert reply.status_code == 413
    assert post(client, json.dumps(OPEN).encode().ljust(LARGEST_BODY)).status_code == 200


@pytest.mark.parametrize("body", [b"[]", b"nonsense", b"\xff", b"[" * 60_000, b'"open"'])
def test_a_body_that_is_no_object_is_refused(client, body):
    assert post(client, body).status_code == 400


@pytest.mark.parametrize(
    "change",
    [
        {"do": "exec"},
        {"do": "__init__"},
        {"do": ["open"]},
        {"client": ""},
        {"client": "x" * 41},
        {"client": 3},
        {"model": None},
        {"path": "/etc/passwd"},
        {"do": "outputs"},
        {"do": "outputs", "lesions": [], "image": 0},
        {"do": "outputs", "lesions": {}, "image": True},
        {"do": "outputs", "lesions": {"a": 1}, "image": 0},
        {"do": "accuracy", "lesions": {"a": [0, 0]}},
        {"do": "accuracy", "lesions": {"a": [-1]}},
        {"do": "accuracy", "lesions": {"a": [0.5]}},
        {"do": "rank", "by": "beauty"},
        {"do": "unit", "layer": "a", "unit": "0"},
        {"sha256": 7},
    ],
)
def test_nothing_but_what_is_documented_reaches_the_child(client, change):
    reply = post(client, OPEN | change)
    assert (reply.status_code, reply.json["error"]["code"]) == (400, "invalid_argument")
    assert client.child.asked == []


@pytest.mark.parametrize(
    ("code", "status"),
    [("superseded", 409), ("busy", 429), ("child_died", 503), ("timeout", 504), ("no_images", 422)],
)
def test_a_failure_of_the_lab_is_json_with_its_status(client, monkeypatch, code, status):
    monkeypatch.setattr(client.child, "ask", failing(code))
    reply = post(client)
    assert (reply.status_code, reply.json["error"]) == (
        status,
        {"code": code, "message": "A sentence."},
    )
    assert ("Retry-After" in reply.headers) == (code == "busy")
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


# ------------------------------------------------------------------------------- whose turn it is


def in_background(action):
    """Runs it in a thread; the list holds its result or its error once it is done."""
    found: list = []

    def run():
        try:
            found.append(action())
        except LabError as error:
            found.append(error.code)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, found


def wait_until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_of_each_client_only_the_newest_waits_and_others_keep_their_place():
    turns, order = Turns(8), []

    def take(client, name):
        def action():
            with turns.turn(client):
                order.append(name)
            return name

        return in_background(action)

    with turns.turn("first"):
        old = take("a", "a1")
        wait_until(lambda: "a" in turns._waiting)
        other = take("b", "b1")
        wait_until(lambda: "b" in turns._waiting)
        ticket = turns._waiting["a"]
        new = take("a", "a2")
        wait_until(lambda: turns._waiting["a"] is not ticket)
        old[0].join(20)
        assert old[1] == ["superseded"]
    for thread, _ in (other, new):
        thread.join(20)
    assert order == ["a2", "b1"]


def test_too_many_clients_are_sent_away_and_the_place_becomes_free():
    turns = Turns(1)

    def take():
        with turns.turn("a"):
            pass

    with turns.turn("first"):
        waiting = in_background(take)
        wait_until(lambda: "a" in turns._waiting)
        with pytest.raises(LabError) as refused, turns.turn("b"):
            pass
        assert refused.value.code == "busy"
    waiting[0].join(20)
    assert waiting[1] == [None]


def test_a_newer_request_ends_the_work_on_the_clients_older_one_and_on_no_others():
    turns = Turns(8)
    with turns.turn("a") as mine:
        other = in_background(lambda: turns.turn("b").__enter__())
        wait_until(lambda: "b" in turns._waiting)
        assert not mine.wanted
        newer = in_background(lambda: turns.turn("a").__enter__())
        wait_until(lambda: "a" in turns._waiting)
        assert mine.wanted and not mine.at_any_price
        # Withdrawn while they wait, so that no turn is left open.
        assert turns.cancel("a") and turns.cancel("b")
    for thread, found in (other, newer):
        thread.join(20)
        assert found == ["cancelled"]


def test_who_withdraws_his_question_ends_the_work_on_it_at_any_price():
    turns = Turns(8)
    with turns.turn("a") as mine:
        assert turns.cancel("b") is False
        assert not mine.wanted
        assert turns.cancel("a") is True
        assert mine.at_any_price
    assert turns.cancel("a") is False


def test_an_error_in_a_turn_gives_it_back():
    turns = Turns(1)
    with pytest.raises(ZeroDivisionError), turns.turn("a"):
        _ = 1 / 0
    with turns.turn("a"):
        pass


# ------------------------------------------------------------------------------- the child process

PROGRAM = """
import json, sys, time
for line in sys.stdin:
    question = json.loads(line)
    if question.get("do") == "die": sys.exit(3)
    if question.get("do") == "sleep": time.sleep(60)
    if question.get("do") == "nap": time.sleep(1)
    if question.get("do") == "grow": hoard = bytearray(500_000_000); time.sleep(60)
    if "stop" not in question:
        print(json.dumps({"answer": {"count": question["value"] + 1}}), flush=True)
"""


@pytest.fixture
def child():
    process = ChildProcess(300, [sys.executable, "-c", PROGRAM])
    yield process
    process.stop()


def test_one_process_answers_many_questions(child):
    assert child.ask({"do": "count", "value": 1}, 20) == {"count": 2}
    first = child._process.pid
    assert child.ask({"do": "count", "value": 5}, 20) == {"count": 6}
    assert child._process.pid == first


@pytest.mark.parametrize(
    ("question", "seconds", "code"),
    [
        ({"do": "die"}, 20, "child_died"),
        ({"do": "sleep"}, 0.5, "timeout"),
        pytest.param(
            {"do": "grow"},
            20,
            "too_large",
            marks=pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux tells"),
        ),
    ],
)
def test_a_child_that_dies_hangs_or_grows_is_ended_and_started_anew(child, question, seconds, code):
    child.ask({"do": "count", "value": 1}, 20)
    ended = child._process
    with pytest.raises(LabError) as failed:
        child.ask(question, seconds)
    assert failed.value.code == code
    assert ended.poll() is not None
    assert child.ask({"do": "count", "value": 1}, 20) == {"count": 2}


def test_work_that_does_not_stop_is_ended_with_its_process_if_it_was_withdrawn(child, monkeypatch):
    monkeypatch.setattr(lab_process, "GRACE_S", 0.1)
    child.ask({"do": "count", "value": 1}, 20)
    ending = Ending()
    waiting = in_background(lambda: child.ask({"do": "sleep"}, 60, ending))
    ending.end(kill=True)
    waiting[0].join(20)
    assert waiting[1] == ["cancelled"]
    assert child.ask({"do": "count", "value": 1}, 20) == {"count": 2}


def test_work_that_a_newer_question_ended_keeps_its_process(child, monkeypatch):
    monkeypatch.setattr(lab_process, "GRACE_S", 0.1)
    child.ask({"do": "count", "value": 1}, 20)
    process, ending = child._process, Ending()
    ending.end(kill=False)
    assert child.ask({"do": "nap", "value": 1}, 20, ending) == {"count": 2}
    assert child.ask({"do": "count", "value": 5}, 20) == {"count": 6}
    assert child._process is process


STUBBORN = """
import json, sys, time
for line in sys.stdin:
    question = json.loads(line)
    if question.get("do") == "open": time.sleep(60)
    if question.get("do") == "accuracy": print(json.dumps({"answer": {"heard": 1}}), flush=True)
"""


def test_a_withdrawn_question_frees_the_lab_for_the_next_one(models, monkeypatch):
    monkeypatch.setattr(lab_process, "GRACE_S", 0.1)
    lab = Lab(models, 300)
    lab._child = ChildProcess(300, [sys.executable, "-c", STUBBORN])
    try:
        waiting = in_background(lambda: lab.ask(OPEN))
        wait_until(lambda: lab._turns._at_work is not None)
        assert lab.ask(OPEN | {"do": "cancel"}) == {"cancelled": True}
        waiting[0].join(20)
        assert waiting[1] == ["cancelled"]
        assert lab.ask(OPEN | {"do": "accuracy", "lesions": {}}) == {"heard": 1}
        assert lab.ask(OPEN | {"do": "cancel"}) == {"cancelled": False}
    finally:
        lab.close()


class Endless:
    """In the place of a session: works until nobody waits for it any more."""

    def __init__(self, path, check, images):
        self.sha256, self._check = "0", check

    def accuracy(self, lesions):
        while lesions:
            self._check()
        return {"n_correct": []}


def test_the_program_stops_its_work_between_two_batches_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(lab_child, "Session", Endless)
    asked, answered = (os.pipe() for _ in range(2))
    with (
        open(asked[0]) as questions,
        open(asked[1], "w") as to_it,
        open(answered[0]) as from_it,
        open(answered[1], "w") as answers,
    ):
        worker = threading.Thread(target=lab_child.serve, args=(questions, answers))
        worker.start()

        def say(message):
            to_it.write(json.dumps(message) + "\n")
            to_it.flush()

        say({"n": 1, "do": "accuracy", "path": str(tmp_path), "lesions": {"a": [0]}})
        say({"stop": 1})
        assert json.loads(from_it.readline())["error"]["code"] == "superseded"
        say({"stop": 1})  # late: the work is done
        say({"n": 2, "do": "accuracy", "path": str(tmp_path), "lesions": {}})
        assert json.loads(from_it.readline()) == {"answer": {"n_correct": [], "sha256": "0"}}
        to_it.close()
        worker.join(20)
        assert not worker.is_alive()


@pytest.mark.skipif(sys.platform != "linux", reason="the bound holds on Linux")
def test_the_system_itself_bounds_the_memory_of_the_program():
    code = (
        "from repro.study import lab_child\n"
        "lab_child.RESERVED_MB = 100\n"
        "lab_child.limit_memory(200)\n"
        "small = bytearray(50_000_000)\n"
        "try: bytearray(600_000_000)\n"
        "except MemoryError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "refused\n", done.stderr


def test_the_memory_of_a_process_is_what_it_holds():
    process = subprocess.Popen(
        [sys.executable, "-c", "a = bytearray(99_000_000); print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        process.stdout.readline()
        assert 99 < lab_process.resident_mb(process.pid) < 200
        process.communicate(b"\n")
    assert lab_process.resident_mb(process.pid) == 0


def test_the_real_program_ends_when_its_input_ends():
    process = ChildProcess(8192)._started()
    process.stdin.close()
    assert process.wait(60) == 0
    process.stdout.close()


def test_an_error_of_the_child_names_no_path(tmp_path):
    path = tmp_path / "secret_folder" / "x.keras"
    reply = lab_child.answer(lab_child.Sessions(), {"do": "open", "path": str(path)})
    assert reply["error"]["code"] == "unusable_model"
    assert "secret_folder" not in reply["error"]["message"]


# ------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("shape", [(7,), (3, 5), (3, 5, 1), (4, 2, 3), (4, 2, 5)])
def test_a_picture_holds_its_pixels(shape):
    values = np.random.default_rng(0).normal(size=shape)
    found = np.asarray(Image.open(io.BytesIO(base64.b64decode(lab_session._png(values)))))
    values = values.mean(axis=2) if shape[2:] == (5,) else values
    values = values[..., 0] if shape[2:] == (1,) else np.atleast_2d(values)
    scaled = 255 * (values - values.min()) / (values.max() - values.min())
    np.testing.assert_array_equal(found, np.round(scaled))


def test_a_flat_picture_is_black():
    assert lab_session.as_pixels(np.full((1, 2), 7.0)).tolist() == [[0, 0]]


# ------------------------------------------------------------------------------- a real model


@pytest.fixture(scope="module")
def real(lab_models, tmp_path_factory):
    """The lab with a real child process on real models, and no data set but the embedded MNIST."""
    lab = Lab(lab_models, 8192)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(tmp_path_factory.mktemp("nothing")))
        yield lambda **question: lab.ask({"client": "test", "model": "tiny/model"} | question)
    lab.close()


@pytest.fixture(scope="module")
def opened(real):
    return real(do="open")


def test_a_model_opens_with_its_layers_classes_and_images(opened):
    assert [(layer["name"], layer["units"]) for layer in opened["layers"]] == [
        ("hidden_1", 12),
        ("hidden_2", 6),
    ]
    assert opened["classes"] == ["zero", "one", "two", "three"]
    assert opened["n_images"] == 80 and len(opened["images"]) == 20
    assert base64.b64decode(opened["images"][0]["png"]).startswith(b"\x89PNG")
    assert sum(opened["intact"]["n"]) == 80


def reference(folder, lesions):
    """Logits and labels by plain Keras, the masks assigned."""
    import repro

    model = repro.load_model(folder / "model.keras", trusted=True)
    for layer, units in lesions.items():
        mask = model.get_layer(f"{layer}_mask")
        keep = np.ones(mask.n_units, "f4")
        keep[units] = 0
        mask.keep.assign(keep)
    with np.load(folder / "model.images.npz") as stored:
        images, labels = stored["images"].astype("f4") / 255, stored["labels"]
    return np.asarray(model(images)), labels


@pytest.mark.parametrize(
    ("model", "lesions"),
    [
        ("tiny", {}),
        ("tiny", {"hidden_1": [0, 3, 11]}),
        ("tiny", {"hidden_2": list(range(6))}),
        ("tiny", {"hidden_1": [2], "hidden_2": [5]}),
        ("conv", {}),
        ("conv", {"conv_1": [1]}),
        ("conv", {"conv_2": [0, 3]}),
        ("conv", {"conv_1": [0, 2, 4], "conv_2": [1]}),
        ("conv", {"conv_1": list(range(5)), "conv_2": list(range(4))}),
    ],
)
def test_the_lab_answers_as_plain_keras_under_the_mask(real, lab_models, model, lesions):
    logits, labels = reference(lab_models / model, lesions)
    question = {"model": f"{model}/model", "lesions": lesions}
    layers = [layer["name"] for layer in real(do="open", model=question["model"])["layers"]]
    accuracy = real(do="accuracy", **question)
    right = np.bincount(labels[logits.argmax(1) == labels], minlength=4)
    assert accuracy["n_correct"] == right.tolist()
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    share = exponentials / exponentials.sum(1, keepdims=True)
    loss = -np.log(share[np.arange(len(labels)), labels]).mean()
    assert accuracy["loss"] == pytest.approx(loss, abs=2e-6)  # it is sent with six places
    outputs = real(do="outputs", image=0, **question)
    first = np.flatnonzero(labels == 0)[0]
    np.testing.assert_allclose(outputs["probabilities"][0], share[first], atol=2e-4)
    for layer, units in lesions.items():
        activity = outputs["activity"][layers.index(layer)]
        assert all(activity[unit] == 0 for unit in units)


@pytest.mark.parametrize("model", ["tiny", "conv"])
def test_a_change_is_counted_image_by_image_against_the_intact_network(real, lab_models, model):
    lesions = {"tiny": {"hidden_1": [0, 3, 11]}, "conv": {"conv_1": [0, 2]}}[model]
    before, labels = reference(lab_models / model, {})
    after, _ = reference(lab_models / model, lesions)
    right = [logits.argmax(1) == labels for logits in (before, after)]
    found = real(do="accuracy", model=f"{model}/model", lesions=lesions)
    for name, chosen in (("n_lost", right[0] & ~right[1]), ("n_gained", right[1] & ~right[0])):
        assert found[name] == np.bincount(labels[chosen], minlength=4).tolist()
    assert sum(found["n_lost"]) + sum(found["n_gained"]) > 0


@pytest.mark.parametrize("ending", [None, "sigmoid"])
def test_a_study_of_a_yes_or_no_opens_and_answers_as_plain_keras(tmp_path, ending):
    """tf-keras-vis#78, tf-explain#73: the usual binary head, a logit or a probability."""
    import keras

    import repro

    rng = np.random.default_rng(8)
    images = rng.normal(size=(60, 5, 5, 1)).astype(np.float32)
    labels = rng.integers(0, 2, 60)
    keras.utils.set_random_seed(4)
    model = keras.Sequential(
        [
            keras.Input((5, 5, 1)),
            keras.layers.Conv2D(4, 3, activation="relu", name="maps"),
            keras.layers.Flatten(),
            keras.layers.Dense(6, activation="relu", name="hidden"),
            keras.layers.Dense(1, activation=ending),
        ]
    )
    path = repro.lesion(model, images, labels).save(tmp_path / "study")
    asked = lab_session.Session(str(path))
    stored = np.load(path.with_suffix(".images.npz"))
    images, labels = stored["images"], stored["labels"]
    masked = repro.load_model(str(path), trusted=True)
    for lesions in ({}, {"maps": [1]}, {"maps": [0, 3], "hidden": [2, 5]}):
        repro.restore(masked)
        repro.ablate(masked, lesions)
        answers = masked.predict(images, verbose=0)[:, 0].astype(np.float64)
        p = answers if ending else 1 / (1 + np.exp(-answers))
        right = (p > 0.5) == labels
        found = asked.accuracy(lesions)
        assert found["n_correct"] == np.bincount(labels[right], minlength=2).tolist()
        loss = -np.log(np.where(labels == 1, p, 1 - p)).mean()
        assert found["loss"] == pytest.approx(loss, abs=2e-5)
        shown = asked.outputs(lesions, 0)["probabilities"]
        np.testing.assert_allclose(np.array(shown)[:, 1], p[asked._chosen], atol=2e-4)
        np.testing.assert_allclose(np.sum(shown, axis=1), 1, atol=2e-4)


def test_a_study_of_another_kind_is_refused_in_a_sentence(tmp_path):
    import keras

    import repro

    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(5, "relu"), keras.layers.Dense(2)]
    )
    x = np.random.default_rng(1).normal(size=(30, 4)).astype(np.float32)
    path = repro.lesion(model, x, x[:, :2]).save(tmp_path / "study")
    with pytest.raises(lab_session.SessionError, match=r"of another kind \(regression\)"):
        lab_session.Session(str(path))


def test_bytes_beside_a_model_that_scales_itself_stay_bytes(tmp_path):
    import keras

    import repro

    pixels = keras.Input((4, 4, 1))
    x = keras.layers.Conv2D(3, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(pixels))
    model = keras.Model(pixels, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    masked = repro.insert_masks(model)
    masked.save(tmp_path / "model.keras")
    rng = np.random.default_rng(2)
    images, labels = rng.integers(0, 256, (40, 4, 4, 1)).astype("u1"), np.arange(40) % 2
    np.savez(tmp_path / "model.images.npz", images=images, labels=labels)
    found = lab_session.Session(str(tmp_path / "model.keras")).accuracy({})
    right = model.predict(images, verbose=0).argmax(axis=1) == labels
    assert found["n_correct"] == np.bincount(labels[right], minlength=2).tolist()


@pytest.fixture(scope="module", params=["tiny", "conv"])
def session(request, lab_models):
    """In this process, and a list: while it holds anything, the work shall end."""
    stops = []

    def check():
        if stops:
            raise lab_session.SessionError("superseded", "Nobody waits.")

    path = lab_models / request.param / "model.keras"
    return lab_session.Session(str(path), check), stops


def random_keep(sizes, rng):
    return (rng.random(sum(sizes)) < rng.random()).astype("f4")


def test_the_lab_counts_what_the_engine_counts(session):
    """The lab compiles graphs of its own; `repro.Engine` is made for sweeps."""
    asked, _ = session
    rng = np.random.default_rng(7)
    keeps = np.array([random_keep(asked._sizes, rng) for _ in range(12)])
    swept = asked._engine.evaluate(keeps)
    for i, keep in enumerate(keeps):
        parts = np.split(keep, np.cumsum(asked._sizes)[:-1])
        lesions = {
            layer: np.flatnonzero(part == 0).tolist()
            for layer, part in zip(asked._layers, parts, strict=True)
        }
        found = asked.accuracy(lesions)
        assert found["n_correct"] == swept.n_correct[i].tolist()
        assert found["loss"] == pytest.approx(swept.loss[i], abs=2e-6)


def test_no_lesion_compiles_anything_anew(session):
    """A lesion is an input of the graphs; TensorFlow counts how often they were traced."""
    asked, _ = session
    rng = np.random.default_rng(3)
    sizes = dict(zip(asked._layers, asked._sizes, strict=True))

    def ask():
        for layer, size in sizes.items():
            units = np.flatnonzero(rng.random(size) < 0.5).tolist()
            asked.accuracy({layer: units})
            asked.outputs({layer: units}, 0)
        return (
            asked._lesions.n_traces(),
            asked._probe.predict_function.experimental_get_tracing_count(),
        )

    asked.accuracy({layer: [0] for layer in sizes})
    first = ask()
    for _ in range(3):
        assert ask() == first
    assert first[0] <= len(asked._lesions._firsts)


@pytest.mark.parametrize(
    "question",
    [
        lambda one: one.accuracy({one._layers[0]: [1]}),
        lambda one: one.outputs({}, 0),
        lambda one: one.rank("importance"),
        lambda one: one.unit(one._layers[0], 1),
    ],
)
def test_work_nobody_waits_for_ends_and_leaves_nothing_behind(session, question):
    asked, stops = session
    before = asked.accuracy({asked._layers[0]: [0]})
    stops.append(True)
    try:
        with pytest.raises(lab_session.SessionError, match="Nobody waits"):
            question(asked)
    finally:
        stops.clear()
    assert question(asked)
    after = asked.accuracy({asked._layers[0]: [0]})
    assert {**after, "ms": 0} == {**before, "ms": 0}


def test_eight_clients_at_once_each_get_their_own_answer(lab_models, real):
    rng = np.random.default_rng(5)
    lesions = [{"hidden_1": np.flatnonzero(rng.random(12) < 0.4).tolist()} for _ in range(8)]
    alone = [real(do="accuracy", lesions=one)["loss"] for one in lesions]
    assert len(set(alone)) > 4

    def ask(i):
        return [real(do="accuracy", lesions=lesions[i], client=f"c{i}")["loss"] for _ in range(6)]

    threads = [in_background(lambda i=i: ask(i)) for i in range(8)]
    for i, (thread, found) in enumerate(threads):
        thread.join(60)
        assert found == [[alone[i]] * 6]


API = (Path(tb_plugin.__file__).parent / "http_api.md").read_text(encoding="utf-8")
POSTED = re.findall(r'^    (\{"do": .*?\})\n\n```json\n(.*?)\n```', API, re.M | re.S)


def shape_of(answer):
    """What kinds of values an answer holds, and where."""
    if isinstance(answer, dict):
        return {name: shape_of(value) for name, value in answer.items()}
    if isinstance(answer, list):
        return [shape_of(answer[0])] if answer else []
    return "number" if type(answer) in (int, float) else type(answer).__name__


@pytest.mark.parametrize(("question", "example"), POSTED)
def test_the_documented_questions_are_answered_as_they_are_documented(real, question, example):
    asked = json.loads(question) | {"model": "tiny/model"}
    assert shape_of(real(**asked)) == shape_of(json.loads(example))


def test_every_question_is_documented():
    assert [json.loads(question)["do"] for question, _ in POSTED] == list(ARGUMENTS)


def test_every_answer_names_its_model_by_the_content_of_its_file(real, opened, lab_models):
    content = (lab_models / "tiny" / "model.keras").read_bytes()
    wanted = hashlib.sha256(content).hexdigest()
    for question in ({"do": "accuracy", "lesions": {}}, {"do": "rank", "by": "importance"}):
        assert real(**question)["sha256"] == opened["sha256"] == wanted


def test_a_network_saved_in_the_place_of_another_is_noticed(real, lab_models):
    folder = lab_models / "replaced"
    shutil.copytree(lab_models / "tiny", folder)
    before = real(do="accuracy", model="replaced/model", lesions={})
    shutil.copy(lab_models / "conv" / "model.keras", folder)
    shutil.copy(lab_models / "conv" / "model.images.npz", folder)
    question = {"do": "accuracy", "model": "replaced/model", "lesions": {"conv_1": [0]}}
    with pytest.raises(LabError) as refused:
        real(**question, sha256=before["sha256"])
    assert refused.value.code == "model_changed"
    after = real(**question)
    assert after["sha256"] == real(do="open", model="conv/model")["sha256"] != before["sha256"]


def test_a_network_of_the_laboratory_brings_its_images_by_its_config(real):
    """It learned corrupted labels, so it is asked on its 200 training images, as it saw them."""
    opened = real(do="open", model="run/model")
    assert opened["source"] == "mnist, training images with the labels it learned"
    assert 190 <= opened["n_images"] <= 200  # as many of each class as there are of the rarest
    assert opened["classes"] == [str(digit) for digit in range(10)]


def test_the_images_of_a_clean_network_are_the_test_images(tmp_path, monkeypatch):
    train, test = (Images(np.ones((n, 2, 2, 1), "f4"), np.arange(n) % 10, 10) for n in (30, 20))
    monkeypatch.setattr(load, "load", lambda where, config: Splits(train, train.labels, test))
    found = source.DataSource("mnist", "tfds")
    monkeypatch.setattr(source, "locate", lambda name, offline: found)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(to_dict(TrainConfig("mnist", "mlp", (5,)))), encoding="utf-8")
    images, labels, _, names, origin = lab_session._images_of(tmp_path / "model.keras")
    assert (images.shape, origin) == ((20, 2, 2, 1), "mnist, test images")
    assert labels.tolist() == test.labels.tolist() and names == []
    path.write_text(json.dumps(to_dict(TrainConfig("cifar10", "mlp", (5,)))), encoding="utf-8")
    names = lab_session._images_of(tmp_path / "model.keras").names
    assert (len(names), names[3]) == (10, "cat")
    path.write_text('{"dataset": "no such set"}', encoding="utf-8")
    with pytest.raises(lab_session.SessionError) as refused:
        lab_session._images_of(tmp_path / "model.keras")
    assert refused.value.code == "no_images" and str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize("model", ["tiny/model", "conv/model"])
def test_a_random_order_is_read_lesion_by_lesion(real, model):
    opened = real(do="open", model=model)
    n_units = sum(layer["units"] for layer in opened["layers"])
    counts = [0, 1, n_units // 2, n_units]
    found = [real(do="order", model=model, seed=seed, counts=counts) for seed in (0, 0, 1)]
    assert found[0] == found[1] and found[0]["n"] == opened["n_images"]
    order = np.random.default_rng(0).permutation(n_units)
    sizes = [layer["units"] for layer in opened["layers"]]
    for k, n_correct in zip(counts, found[0]["n_correct"], strict=True):
        gone = np.isin(np.arange(n_units), order[:k])
        parts = np.split(gone, np.cumsum(sizes)[:-1])
        lesions = {
            layer["name"]: np.flatnonzero(part).tolist()
            for layer, part in zip(opened["layers"], parts, strict=True)
        }
        assert n_correct == sum(real(do="accuracy", model=model, lesions=lesions)["n_correct"])


def test_networks_of_true_and_of_shuffled_labels_are_asked_on_the_same_images(real):
    shuffled, true = (
        real(do="open", model=f"{name}/model", images="training") for name in ("run", "clean")
    )
    assert shuffled["images_sha256"] == true["images_sha256"]
    assert [one["png"] for one in shuffled["images"]] == [one["png"] for one in true["images"]]
    truth = [one["truth"] for one in true["images"]]
    assert truth == [one["label"] for one in true["images"]]
    assert sorted(truth) == sorted(2 * list(range(10)))
    assert truth == [one["truth"] for one in shuffled["images"]]
    assert truth != [one["label"] for one in shuffled["images"]]
    assert true["source"] == "mnist, training images"
    # Without the wish, a network of true labels has its test images.
    assert real(do="open", model="clean/model")["source"] == "mnist, test images"
    for one in (shuffled, true):
        assert sum(one["intact"]["n"]) == one["n_images"]


def test_two_networks_stay_open_beside_each_other(tmp_path, monkeypatch):
    """A change from one to the other, or of the images, opens nothing anew."""
    monkeypatch.setattr(lab_child, "Session", Endless)
    paths = [str(tmp_path / name) for name in ("a", "b", "c")]
    for path in paths:
        Path(path).touch()
    sessions = lab_child.Sessions()
    asked = [(paths[0], ""), (paths[0], "training"), (paths[1], "training")]
    opened = [sessions.at(*one) for one in asked]
    assert len(set(map(id, opened))) == 3
    for _ in range(2):
        assert [sessions.at(*one) for one in asked] == opened
    sessions.at(paths[2])  # one more, and the one that was not used for longest is forgotten
    assert sessions.at(*asked[2]) is opened[2] and sessions.at(*asked[0]) is not opened[0]


def test_a_network_is_asked_on_images_of_where_its_own_came_from(tmp_path, monkeypatch):
    """On other images, any network that learned shuffled labels would look broken."""
    read = []

    def load_one(where, config):
        read.append(where.origin)
        few = Images(np.ones((10, 2, 2, 1), "f4"), np.arange(10), 10)
        return Splits(few, few.labels, few)

    monkeypatch.setattr(load, "load", load_one)
    for origin, there in (("embedded", "tfds"), ("tfds", "tfds"), ("tfds", "embedded")):
        found = source.DataSource("mnist", there)
        monkeypatch.setattr(source, "locate", lambda name, offline, found=found: found)
        config = TrainConfig("mnist", "mlp", (5,), origin=origin)
        path = tmp_path / "config.json"
        path.write_text(json.dumps(to_dict(config)), encoding="utf-8")
        if there == origin or origin == "embedded":
            lab_session._images_of(tmp_path / "model.keras")
            continue
        with pytest.raises(lab_session.SessionError, match="the full mnist, which is not at hand"):
            lab_session._images_of(tmp_path / "model.keras")
    assert read == ["embedded", "tfds"]


def test_what_a_sweep_found_beside_the_model_is_taken_for_its_importance(real):
    ranked = real(do="rank", model="run/model", by="importance")
    assert [unit for _, unit in ranked["units"]] == [2, 4, 0, 3, 1]  # as IMPORTANCE says
    assert ranked["read_on"] == "1,000 test images"


@pytest.mark.parametrize("content", [b"damaged", results.to_bytes(Intact(1, 1, 0.5, 2, "test"))])
def test_a_sweep_that_is_damaged_or_another_is_passed_over(tmp_path, content):
    layers = (("hidden_1", len(IMPORTANCE)),)
    (tmp_path / "single_unit-aaaaaaaaaa.npz").write_bytes(content)
    assert lab_session._stored_importance(tmp_path, layers) is None
    write_importance(tmp_path, IMPORTANCE)
    assert lab_session._stored_importance(tmp_path, (("other", 5),)) is None
    importance, _ = lab_session._stored_importance(tmp_path, layers)
    np.testing.assert_allclose(importance, IMPORTANCE, atol=1e-12)


@pytest.mark.parametrize(
    ("model", "sizes"),
    [("tiny", {"hidden_1": 12, "hidden_2": 6}), ("conv", {"conv_1": 5, "conv_2": 4})],
)
def test_units_are_ranked_by_what_their_ablation_does(real, model, sizes):
    model = f"{model}/model"
    intact = real(do="open", model=model)["intact"]
    ranked = real(do="rank", model=model, by="importance")
    assert sorted(ranked["values"], reverse=True) == ranked["values"]
    numbered = [(layer, unit) for layer, n in enumerate(sizes.values()) for unit in range(n)]
    assert sorted(map(tuple, ranked["units"])) == numbered
    for place in (0, -1):
        layer, unit = ranked["units"][place]
        lesion = {list(sizes)[layer]: [unit]}
        loss = real(do="accuracy", model=model, lesions=lesion)["loss"]
        assert loss - intact["loss"] == pytest.approx(ranked["values"][place], abs=1e-5)


def hidden_1_of(lab_models, unit):
    """Its activation on every image of the tiny model, by hand, and the labels."""
    import repro

    model = repro.load_model(lab_models / "tiny" / "model.keras", trusted=True)
    kernel, bias = model.get_layer("hidden_1").get_weights()
    with np.load(lab_models / "tiny" / "model.images.npz") as stored:
        pixels = stored["images"].reshape(80, -1).astype("f4") / 255
        return np.maximum(pixels @ kernel[:, unit] + bias[unit], 0), stored["labels"]


def test_a_unit_comes_with_the_images_at_both_ends_and_its_weights(real, opened, lab_models):
    found = real(do="unit", layer="hidden_1", unit=4)
    assert sum(map(sum, found["counts"])) + sum(found["silent"]) == 80
    activity, labels = hidden_1_of(lab_models, 4)
    assert found["silent"] == [int(np.sum(activity[labels == c] == 0)) for c in range(4)]
    assert found["favourite"] == np.argmax([activity[labels == c].mean() for c in range(4)])
    most, least = ([one["activation"] for one in found[end]] for end in ("most", "least"))
    assert most == sorted(most, reverse=True) and least == sorted(least)
    assert most[-1] >= least[-1]
    assert found["n_least"] == np.count_nonzero(activity == activity.min())
    if np.sum(activity == 0) >= 8 and all(found["silent"]):  # of equals, of every class
        assert {one["label"] for one in found["least"]} == {0, 1, 2, 3}
    assert base64.b64decode(found["weights"]).startswith(b"\x89PNG")
    assert real(do="unit", layer="hidden_2", unit=0)["weights"] is None


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"do": "accuracy", "lesions": {"hidden_1": [12]}}, "12 units"),
        ({"do": "accuracy", "lesions": {"<b>": [0]}}, "no such layer"),
        ({"do": "outputs", "lesions": {}, "image": 20}, "no such image"),
        ({"do": "unit", "layer": "hidden_1", "unit": 12}, "no unit 12"),
        ({"do": "order", "seed": 0, "counts": [19]}, "18 units"),
        ({"do": "open", "model": "unsafe"}, "holds a function"),
        ({"do": "open", "model": "no_images"}, "no_images.images.npz"),
        ({"do": "open", "model": "broken"}, "complete .keras file"),
    ],
)
def test_what_cannot_be_answered_is_a_sentence(real, opened, lab_models, question, words):
    with pytest.raises(LabError) as refused:
        real(**question)
    assert words in str(refused.value)
    assert str(lab_models) not in str(refused.value)
