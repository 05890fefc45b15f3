"""The routes over a data provider made of dictionaries: no process, no TensorFlow."""

import json
import logging
import re
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend import application
from tensorboard.plugins import base_plugin
from tensorboard.util import tensor_util
from werkzeug import wrappers
from werkzeug.test import Client

from tb_plugin import metadata, summary
from tb_plugin.plugin import SingleDirectionsPlugin
from tb_plugin.reading import decimals
from tests.helpers.boards import ROUTES, FakeProvider, tiny_content, tiny_curve, tiny_table

GET_ROUTES = [
    "/static/index.js",
    "/api/v1/index",
    "/api/v1/curve?run=tiny&tag=curve",
    "/api/v1/units/steps?run=tiny&tag=units",
    "/api/v1/units?run=tiny&tag=units&step=5",
    "/api/v1/unit?run=tiny&tag=units&step=5&row=1",
    "/api/v1/distributions?run=tiny&tag=units&column=importance",
    "/api/v1/training?run=tiny",
]
UNITS = metadata.encode_content("units", {})


def serve(provider, **hints) -> Client:
    context = base_plugin.TBContext(data_provider=provider, sampling_hints=hints)
    plugin = SingleDirectionsPlugin(context)
    return Client(application.TensorBoardWSGI([plugin], data_provider=provider))


@pytest.fixture
def client(fake_provider):
    return serve(fake_provider)


UNSAFE = "this warning will become an error"  # what TensorBoard's validator of replies logs


@pytest.fixture(autouse=True)
def heard(caplog):
    """No reply in these tests may lack the safe headers that TensorBoard asks for."""
    with caplog.at_level(logging.WARNING, logger="tensorboard"):
        yield caplog
    assert UNSAFE not in caplog.text


def test_an_unsafe_reply_would_be_heard(client, heard, monkeypatch):
    unsafe = wrappers.Response(b"{}", content_type="application/json")
    monkeypatch.setattr("tensorboard.backend.http_util.Respond", lambda *_, **__: unsafe)
    client.get(f"{ROUTES}/api/v1/index")
    assert UNSAFE in heard.text
    heard.clear()


def curve_with(tensor, content=None):
    provider = FakeProvider(tensors={("r", "t"): (content or tiny_content(), [(1, tensor)])})
    reply = serve(provider).get(f"{ROUTES}/api/v1/curve?run=r&tag=t")
    assert reply.status_code == 200
    return reply.json["curves"][0]


@pytest.mark.parametrize("route", GET_ROUTES)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_get_and_head_are_answered(client, route, method):
    reply = client.open(ROUTES + route, method=method)
    assert reply.status_code == 405
    assert reply.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("route", GET_ROUTES)
def test_every_reply_forbids_sniffing_and_none_is_html(client, route):
    for path in (route, route.partition("?")[0] + "?nonsense"):
        reply = client.get(ROUTES + path)
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert "html" not in reply.content_type


def test_head_has_the_headers_without_the_content(client):
    reply = client.head(f"{ROUTES}/api/v1/index")
    assert reply.status_code == 200
    assert reply.data == b""


def test_index_lists_series_and_all_runs(client):
    index = client.get(f"{ROUTES}/api/v1/index").json
    assert index["runs"] == ["someone_elses_run", "tiny"]
    assert [(s["run"], s["tag"], s["kind"], s["max_step"]) for s in index["series"]] == [
        ("tiny", "curve", "curve", 100),
        ("tiny", "units", "units", 5),
    ]
    assert index["series"][0]["meta"]["facts"] == {"label corruption": "0.2"}
    assert index["series"][0]["meta"]["n_units"] == 4
    assert index["skipped"] == []


def test_index_tells_how_many_steps_are_kept(fake_provider):
    index = serve(fake_provider, single_directions=7).get(f"{ROUTES}/api/v1/index").json
    assert index["sampling"] == {
        "single_directions": 7,
        "single_directions_units": None,
        "scalars": 1000,
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"v": 2, "kind": "curve"}', "newer"),
        (b"\xff\x00garbage", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"v": 1, "kind": "curve", "n_units": "many"}', "n_units"),
        (b'{"v": 1, "kind": "film"}', "kind"),
        (b'{"v": 1, "kind": "units", "facts": {}}', "not stored as"),
        (b"", "not JSON"),
    ],
)
def test_a_series_that_cannot_be_read_is_skipped_with_a_reason(fake_provider, content, reason):
    fake_provider.tensors["odd", "curve"] = (content, [(1, tiny_curve())])
    index = serve(fake_provider).get(f"{ROUTES}/api/v1/index").json
    assert [s["run"] for s in index["series"]] == ["tiny", "tiny"]
    assert index["skipped"][0]["run"] == "odd"
    assert reason in index["skipped"][0]["reason"]


def test_keys_of_a_later_writer_are_ignored(fake_provider):
    content = json.dumps(json.loads(tiny_content()) | {"later": [1, 2]}).encode()
    fake_provider.tensors["tiny", "curve"] = (content, [(1, tiny_curve())])
    index = serve(fake_provider).get(f"{ROUTES}/api/v1/index").json
    assert index["skipped"] == []
    assert "later" not in index["series"][0]["meta"]


def test_a_curve_is_the_one_of_the_documented_example(client):
    reply = client.get(f"{ROUTES}/api/v1/curve?run=tiny&tag=curve&step=100")
    assert reply.json["curves"] == [
        {
            "run": "tiny",
            "tag": "curve",
            "steps": [10, 100],
            "step": 100,
            "walltime": 1.5,
            "x": [0.0, 2.0, 4.0],
            "rows": [[1.0, 0.9, 0.1], [1.0, 0.8, 0.1]],
        }
    ]


API = (Path(metadata.__file__).parent / "http_api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(
    r"^    GET data/plugin/single_directions(/\S+)\n\n```json\n(.*?)\n```", API, re.M | re.S
)


def without_time(text: str) -> dict:
    def timeless(found: dict) -> dict:
        return {name: value for name, value in found.items() if name != "walltime"}

    return json.loads(text, object_hook=timeless)


@pytest.mark.parametrize(("path", "example"), EXAMPLES, ids=[path for path, _ in EXAMPLES])
def test_the_documented_examples_are_what_the_routes_answer(fake_provider, path, example):
    """All of them; of the two that list what is there, the keys."""
    fake_provider.scalars["tiny", "training/test_loss"] = (b"", [(1, 0.5), (2, 0.1)])
    reply = serve(class_table() if "run=r&" in path else fake_provider).get(ROUTES + path)
    assert reply.status_code == 200
    answer, example = without_time(reply.text), without_time(example)
    if path.endswith(("/index", "/lab/models")):
        assert answer.keys() == example.keys()
        for one, documented in zip(
            answer.get("series", []), example.get("series", []), strict=True
        ):
            assert one.keys() == documented.keys()
            assert one["meta"].keys() == documented["meta"].keys()
    else:
        assert answer == example


def test_every_route_that_answers_json_has_an_example():
    routes = {route.partition("?")[0] for route in GET_ROUTES} - {"/static/index.js"}
    shown = {path.partition("?")[0] for path, _ in EXAMPLES}
    assert shown == (routes | {"/api/v1/lab/models"}) - {"/api/v1/units"}  # that one is bytes


@pytest.mark.parametrize(("asked", "given"), [("", 100), ("&step=99", 10), ("&step=3", 10)])
def test_the_latest_step_not_after_the_one_asked_for_is_given(client, asked, given):
    reply = client.get(f"{ROUTES}/api/v1/curve?run=tiny&tag=curve{asked}")
    assert reply.json["curves"][0]["step"] == given


def test_curves_come_in_the_order_of_the_pairs(fake_provider):
    fake_provider.tensors["another", "one"] = (tiny_content(), [(1, tiny_curve())])
    query = "run=tiny&tag=curve&run=another&tag=one&run=another&tag=none"
    curves = serve(fake_provider).get(f"{ROUTES}/api/v1/curve?{query}").json["curves"]
    assert [(c["run"], c["tag"], "error" in c) for c in curves] == [
        ("tiny", "curve", False),
        ("another", "one", False),
        ("another", "none", True),
    ]


def test_steps_are_sorted_and_the_last_written_of_a_step_wins(fake_provider):
    newer = tiny_curve()
    newer[1:] = 0.5
    points = [(5, tiny_curve()), (9, tiny_curve()), (6, tiny_curve()), (9, newer)]
    fake_provider.tensors["tiny", "curve"] = (tiny_content(), points)
    reply = serve(fake_provider).get(f"{ROUTES}/api/v1/curve?run=tiny&tag=curve")
    curve = reply.json["curves"][0]
    assert curve["steps"] == [5, 6, 9]
    assert curve["rows"] == [[0.5] * 3] * 2


def test_json_numbers_are_the_same_float32_again():
    rng = np.random.default_rng(0)
    tensor = np.concatenate([np.arange(5, dtype="f4")[None], rng.random((4, 5), dtype="f4")])
    curve = curve_with(tensor)
    np.testing.assert_array_equal(np.array(curve["rows"], "f4"), tensor[1:])


@pytest.mark.parametrize("n_rows", [1, decimals.FEW_NUMBERS])
def test_json_numbers_have_the_fewest_digits(n_rows):
    values = np.array([[0.9, 1 / 3, 1e-7, 123456.7, 1e-30]] * n_rows, "f4")
    shortest = [float(text) for text in values[0].astype(str)]  # NumPy's own printing
    assert decimals.shortest(values) == [shortest] * n_rows


def test_several_arrays_at_once_give_what_each_gives_alone():
    rng = np.random.default_rng(0)
    arrays = [rng.random((3, 70), dtype="f4"), np.float32([np.nan]), rng.random((2, 1, 4))]
    assert decimals.shortest_of(arrays) == [decimals.shortest(array) for array in arrays]
    assert decimals.shortest_of([]) == []


def test_what_is_not_a_number_becomes_null():
    tensor = tiny_curve()
    tensor[1] = [np.nan, np.inf, 0.5]
    assert curve_with(tensor)["rows"][0] == [None, None, 0.5]


@pytest.mark.parametrize(
    "tensor",
    [
        np.float32(1.0),
        np.zeros((3,), "f4"),
        np.zeros((1, 3), "f4"),
        np.zeros((2, 0), "f4"),
        np.array([["a", "b"]] * 2, dtype=object),
        np.array([[0, 2, 1], [1, 1, 1]], "f4"),
        np.array([[0, 2, 99], [1, 1, 1]], "f4"),
        np.array([[0, np.nan, 4], [1, 1, 1]], "f4"),
    ],
    ids=["scalar", "vector", "no row", "no point", "text", "x falls", "x too large", "x nan"],
)
def test_a_tensor_of_another_shape_or_content_is_an_error_in_words(tensor):
    curve = curve_with(tensor)
    assert "rows" not in curve
    assert "must" in curve["error"]


def test_one_series_that_cannot_be_decoded_does_not_take_the_others_along(fake_provider):
    fault = TypeError("bfloat16")
    fake_provider.tensors["bad", "curve"] = (tiny_content(), [(1, fault)])
    query = "run=tiny&tag=curve&run=bad&tag=curve"
    good, bad = serve(fake_provider).get(f"{ROUTES}/api/v1/curve?{query}").json["curves"]
    assert good["step"] == 100
    assert "could not read" in bad["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/curve",
        "/api/v1/curve?run=tiny",
        "/api/v1/curve?run=tiny&tag=",
        "/api/v1/curve?run=tiny&tag=curve&run=tiny",
        "/api/v1/curve?run=tiny&tag=curve&step=-1",
        "/api/v1/curve?run=tiny&tag=curve&step=last",
        "/api/v1/curve?run=tiny&tag=curve&step=",
        "/api/v1/units/steps?run=tiny",
        "/api/v1/units?run=tiny&tag=units",
        "/api/v1/units?run=tiny&tag=units&step=1e3",
        "/api/v1/units?run=tiny&tag=units&step=99999999999999999999",
        "/api/v1/units?run=tiny&tag=units&step=%D9%A3",
    ],
)
def test_missing_or_wrong_arguments_are_refused(client, path):
    reply = client.get(ROUTES + path)
    assert reply.status_code == 400
    assert reply.json["error"]["code"] == "invalid_argument"


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/curve?run=nobody&tag=curve",
        "/api/v1/curve?run=tiny&tag=units",
        "/api/v1/units/steps?run=nobody&tag=units",
        "/api/v1/units?run=tiny&tag=units&step=6",
    ],
)
def test_what_does_not_exist_is_not_found(client, path):
    reply = client.get(ROUTES + path)
    assert reply.status_code == 404
    assert reply.json["error"]["code"] == "not_found"


def test_unit_steps_and_bytes_are_those_of_the_documented_example(client):
    steps = client.get(f"{ROUTES}/api/v1/units/steps?run=tiny&tag=units").json["steps"]
    assert steps == [
        {
            "step": 5,
            "walltime": 1.5,
            "n": 3,
            "columns": ["layer", "unit", "class_selectivity", "importance"],
            "layers": ["hidden_1", "hidden_2"],
            "classes": [],
            "class_sizes": [],
        }
    ]
    reply = client.get(f"{ROUTES}/api/v1/units?run=tiny&tag=units&step=5")
    assert reply.content_type == "application/octet-stream"
    assert struct.unpack("<12f", reply.data) == (0, 0, 1, 0, 1, 0, 0, 0.5, 1, 0, 0.25, -0.5)


@pytest.mark.parametrize(
    "blobs",
    [
        [tiny_table()[0]],
        [tiny_table()[0], tiny_table()[1][:-1]],
        [b"{}", tiny_table()[1]],
        [tiny_table()[0].replace(b'"hidden_1", ', b""), tiny_table()[1]],
        [tiny_table()[0].replace(b'"n": 3', b'"n": -3'), tiny_table()[1]],
        [tiny_table()[0].replace(b'"unit"', b'"other"'), tiny_table()[1]],
    ],
    ids=["one blob", "cut off", "no header", "unnamed layer", "negative n", "no unit column"],
)
def test_a_damaged_unit_table_is_an_error_in_words(fake_provider, blobs):
    fake_provider.tables["tiny", "units"] = (UNITS, [(5, blobs)])
    client = serve(fake_provider)
    reply = client.get(f"{ROUTES}/api/v1/units?run=tiny&tag=units&step=5")
    assert reply.status_code == 422
    assert reply.json["error"]["code"] == "unreadable_data"
    assert client.get(f"{ROUTES}/api/v1/units/steps?run=tiny&tag=units").status_code == 200


@pytest.mark.parametrize("route", GET_ROUTES[1:])
def test_a_failing_provider_is_a_502_without_its_details(fake_provider, route):
    fake_provider.fault = RuntimeError("secret /path/of/server")
    reply = serve(fake_provider).get(ROUTES + route)
    assert reply.status_code == 502
    assert reply.json["error"]["code"] == "provider_error"
    assert b"secret" not in reply.data


def test_without_a_provider_the_answer_says_so():
    context = base_plugin.TBContext(data_provider=None)
    client = Client(application.TensorBoardWSGI([SingleDirectionsPlugin(context)]))
    reply = client.get(f"{ROUTES}/api/v1/index")
    assert reply.status_code == 502
    assert "data provider" in reply.json["error"]["message"]


def test_a_fault_of_ours_is_a_500_without_a_trace(fake_provider, monkeypatch):
    monkeypatch.setattr("tb_plugin.reading.index._sorted_series", None)
    reply = serve(fake_provider).get(f"{ROUTES}/api/v1/index")
    assert reply.status_code == 500
    assert b"Traceback" not in reply.data and b"NoneType" not in reply.data


def test_the_experiment_is_passed_on(fake_provider):
    client = serve(fake_provider)
    reply = client.get(f"/experiment/abc{ROUTES}/api/v1/index")
    assert reply.status_code == 200
    assert set(fake_provider.experiments) == {"abc"}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nothing.js",
        "../plugin.py",
        "%2e%2e/plugin.py",
        "..%2fplugin.py",
        "vendor/../../plugin.py",
        "views/curves",
        "views/curves/../../app.js",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "./index.js",
        "index.js/",
        "INDEX.JS",
        "..\\plugin.py",
        "index.js%00.css",
    ],
)
def test_no_trick_with_a_path_leaves_the_folder(client, name):
    reply = client.get(f"{ROUTES}/static/{name}")
    assert reply.status_code == 404
    assert b"import" not in reply.data


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("index.js", "text/javascript"),
        ("style.css", "text/css"),
        ("app.js", "text/javascript"),
        ("views/curves/curves_view.js", "text/javascript"),
    ],
)
def test_static_files_have_their_type_whatever_the_machine_thinks(client, name, content_type):
    reply = client.get(f"{ROUTES}/static/{name}")
    assert reply.status_code == 200
    assert reply.mimetype == content_type


def test_an_unchanged_file_is_not_sent_again(client):
    first = client.get(f"{ROUTES}/static/app.js")
    tag = first.headers["ETag"]
    again = client.get(f"{ROUTES}/static/app.js", headers={"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")
    other = client.get(f"{ROUTES}/static/app.js", headers={"If-None-Match": '"other"'})
    assert other.data == first.data


def test_the_tab_is_listed_with_its_name_and_entry(client):
    listed = client.get("/data/plugins_listing").json["single_directions"]
    assert listed["tab_name"] == "Single Directions"
    assert listed["loading_mechanism"]["module_path"].endswith("/static/index.js")


def test_unit_tables_alone_make_the_tab_active():
    class OnlyTables(FakeProvider):
        def list_plugins(self, ctx=None, *, experiment_id):
            return [metadata.UNITS_PLUGIN_NAME]

    listed = serve(OnlyTables()).get("/data/plugins_listing").json["single_directions"]
    assert listed["enabled"] is True


# ------------------------------------------------------------- noise, single units, trainings


def test_a_noise_curve_is_read_like_an_ablation_curve(fake_provider):
    written = summary.noise_curve("noise", [0.1, 10], [[1.0, 0.5]], n_units=4).value[0]
    content = written.metadata.plugin_data.content
    tensor = tensor_util.make_ndarray(written.tensor)
    fake_provider.tensors["tiny", "noise"] = (content, [(3, tensor)])
    client = serve(fake_provider)
    (series,) = [
        s for s in client.get(f"{ROUTES}/api/v1/index").json["series"] if s["kind"] == "noise"
    ]
    assert (series["meta"]["per"], series["meta"]["n_units"]) == ("position", 4)
    (curve,) = client.get(f"{ROUTES}/api/v1/curve?run=tiny&tag=noise").json["curves"]
    assert (curve["x"], curve["rows"]) == ([0.1, 10.0], [[1.0, 0.5]])


def class_table() -> FakeProvider:
    """Three units of one layer with class profiles."""
    written = summary.unit_table(
        "units",
        ["a"] * 3,
        [0, 1, 2],
        {"importance": [0.5, -1.0, 2.0], "class_selectivity": [0.0, 0.25, 1.0]},
        classes=["cat", "dog"],
        class_means=[[1, 2], [3, 4], [5, 6]],
        class_drops=[[0, 0.5], [0, 0], [1, 1]],
        class_sizes=[10, 20],
    ).value[0]
    blobs = list(tensor_util.make_ndarray(written.tensor))
    content = written.metadata.plugin_data.content
    return FakeProvider(tables={("r", "units"): (content, [(5, blobs)])})


def test_one_unit_comes_with_its_class_profile_and_its_place_in_the_layer():
    unit = serve(class_table()).get(f"{ROUTES}/api/v1/unit?run=r&tag=units&step=5&row=2").json
    assert unit == {
        "row": 2,
        "layer": "a",
        "unit": 2,
        "values": {
            "importance": {"value": 2.0, "below": 0.6667},
            "class_selectivity": {"value": 1.0, "below": 0.6667},
        },
        "classes": ["cat", "dog"],
        "class_sizes": [10, 20],
        "class_mean": [5.0, 6.0],
        "class_drop": [1.0, 1.0],
    }


def test_some_columns_of_a_table_come_alone_in_the_order_asked_for():
    client = serve(class_table())
    query = "run=r&tag=units&step=5&column=class_drop/1&column=unit"
    reply = client.get(f"{ROUTES}/api/v1/units?{query}")
    assert struct.unpack("<6f", reply.data) == (0.5, 0, 1, 0, 1, 2)
    assert client.get(f"{ROUTES}/api/v1/units?{query}&column=nothing").status_code == 404


@pytest.mark.parametrize("row", ["", "3", "-1", "x", "1e3"])
def test_a_row_that_is_not_there_is_an_error_in_words(row):
    reply = serve(class_table()).get(f"{ROUTES}/api/v1/unit?run=r&tag=units&step=5&row={row}")
    assert reply.status_code == (404 if row == "3" else 400)


def test_distributions_share_their_edges_and_count_every_unit(fake_provider):
    client = serve(fake_provider)
    query = "column=importance&bins=3&run=tiny&tag=units&run=tiny&tag=nothing"
    reply = client.get(f"{ROUTES}/api/v1/distributions?{query}").json
    assert reply["edges"] == [-0.5, -0.25, 0.0, 0.25]
    first, missing = reply["tables"]
    assert [(one["layer"], one["counts"]) for one in first["layers"]] == [
        ("hidden_1", [0, 0, 2]),  # 0 and 0.25: the last bin holds its right edge
        ("hidden_2", [1, 0, 0]),
    ]
    assert first["layers"][0]["quantiles"][3] == 0.125
    assert "could not read" in missing["error"]


def test_distributions_of_several_requests_can_share_their_edges(fake_provider):
    query = "column=importance&bins=4&run=tiny&tag=units&low=-1&high=1"
    reply = serve(fake_provider).get(f"{ROUTES}/api/v1/distributions?{query}").json
    assert reply["edges"] == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert [one["counts"] for one in reply["tables"][0]["layers"]] == [[0, 0, 2, 0], [0, 1, 0, 0]]


def test_tables_are_read_beside_each_other_and_answered_in_their_order(fake_provider, monkeypatch):
    """TensorBoard's data server lets every reader wait, so twenty in turn would take seconds."""
    table = fake_provider.tables["tiny", "units"]
    fake_provider.tables |= {(run, "units"): table for run in ("b", "a")}
    together = threading.Barrier(3)
    read = fake_provider.read_blob

    def waits_for_the_others(ctx=None, *, blob_key):
        if json.loads(blob_key)[-1] == 0:  # a header
            together.wait(timeout=20)
        return read(ctx, blob_key=blob_key)

    monkeypatch.setattr(fake_provider, "read_blob", waits_for_the_others)
    asked = "&".join(f"run={run}&tag=units" for run in ("b", "tiny", "a"))
    reply = serve(fake_provider).get(f"{ROUTES}/api/v1/distributions?column=importance&{asked}")
    assert [one["run"] for one in reply.json["tables"]] == ["b", "tiny", "a"]
    assert not together.broken


@pytest.mark.parametrize("query", ["low=1", "low=1&high=0", "low=x&high=1", "low=-inf&high=0"])
def test_edges_of_distributions_are_two_numbers_in_order(client, query):
    address = f"{ROUTES}/api/v1/distributions?run=a&tag=b&column=importance&{query}"
    assert client.get(address).status_code == 400


def test_a_quantity_that_was_not_measured_is_an_error_of_that_table(fake_provider):
    query = "column=weight_norm&run=tiny&tag=units"
    reply = serve(fake_provider).get(f"{ROUTES}/api/v1/distributions?{query}").json
    assert reply["tables"] == [
        {"run": "tiny", "tag": "units", "error": "this quantity was not measured"}
    ]


@pytest.mark.parametrize("query", ["", "column=importance&bins=0", "column=importance&bins=501"])
def test_distributions_need_a_quantity_and_a_sane_number_of_bins(client, query):
    assert client.get(f"{ROUTES}/api/v1/distributions?run=a&tag=b&{query}").status_code == 400


def test_a_training_is_its_scalars_and_the_area_under_its_curves(fake_provider):
    fake_provider.scalars["tiny", "training/test_loss"] = (b"", [(1, 0.5), (2, 0.1)])
    fake_provider.scalars["tiny", "something_else"] = (b"", [(1, 9.0)])
    provider = fake_provider
    reply = serve(provider).get(f"{ROUTES}/api/v1/training?run=tiny&run=unknown").json
    tiny, unknown = reply["runs"]
    assert tiny["scalars"] == {"test_loss": {"steps": [1, 2], "values": [0.5, 0.1]}}
    (areas,) = tiny["curves"]
    assert (areas["tag"], areas["steps"]) == ("curve", [10, 100])
    # Rows 1, 0.9, 0.1 and 1, 0.8, 0.1 at 0, 1/2, 1: areas 0.725 and 0.675.
    assert areas["normalized"] == [0.7, 0.7]
    np.testing.assert_allclose(areas["sd"], np.std([0.725, 0.675], ddof=1), rtol=1e-6)
    np.testing.assert_allclose(areas["intact"], [1.0, 1.0])
    np.testing.assert_allclose(areas["floor"], [0.1, 0.1], rtol=1e-6)
    assert unknown == {"run": "unknown", "scalars": {}, "curves": []}


def test_a_curve_that_is_not_whole_has_no_area(fake_provider):
    short = tiny_curve()[:, :2]
    fake_provider.tensors["tiny", "curve"] = (tiny_content(), [(1, short), (2, tiny_curve())])
    (run,) = serve(fake_provider).get(f"{ROUTES}/api/v1/training?run=tiny").json["runs"]
    assert run["curves"][0]["steps"] == [2]


def test_a_training_needs_the_name_of_a_run(client):
    assert client.get(f"{ROUTES}/api/v1/training").status_code == 400
    assert client.get(f"{ROUTES}/api/v1/training?run=").status_code == 400
