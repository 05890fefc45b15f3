"""Written by us, read back through both loaders of a real TensorBoard."""

import struct
from urllib.parse import urlencode

import numpy as np
import pytest
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util import tensor_util

from tb_plugin import demo, metadata, summary
from tests.helpers.boards import MANY_STEPS, ROUTES, TensorBoard, many_steps_curve, read_whole

LOADERS = ["fast", "slow"]


def stored_curve(logdir, run):
    """The last curve "curve/all/random" of a run, straight from its event file."""
    (path,) = (logdir / run).iterdir()
    raw, last = path.read_bytes(), None
    while raw:
        (length,) = struct.unpack("<Q", raw[:8])
        event = event_pb2.Event.FromString(raw[12 : 12 + length])
        if [value.tag for value in event.summary.value] == ["curve/all/random"]:
            last = event
        raw = raw[16 + length :]
    return tensor_util.make_ndarray(last.summary.value[0].tensor)


@pytest.mark.parametrize("loader", LOADERS)
def test_curves_come_back_bit_for_bit(tensorboards, demo_logdir, loader):
    board = tensorboards[loader]
    read_whole(board)
    run = "fig1a/label_corruption=0.4"
    query = urlencode({"run": run, "tag": "curve/all/random"})
    (curve,) = board.json(f"/api/v1/curve?{query}")["curves"]
    assert curve["steps"] == list(demo.EPOCHS)
    read = np.array([curve["x"], *curve["rows"]], "f4")
    np.testing.assert_array_equal(read, stored_curve(demo_logdir, run))


@pytest.mark.parametrize("loader", LOADERS)
def test_a_unit_table_comes_back_bit_for_bit(tensorboards, loader):
    board = tensorboards[loader]
    read_whole(board)
    query = urlencode({"run": "fig7a/seed=1", "tag": "units/all"})
    (header,) = board.json(f"/api/v1/units/steps?{query}")["steps"]
    status, raw = board.get(f"{ROUTES}/api/v1/units?{query}&step={header['step']}")
    assert status == 200
    read = np.frombuffer(raw, "<f4").reshape(len(header["columns"]), header["n"])
    rng = np.random.default_rng(101)
    layers = [demo.synthetic_units(rng, 128, strength)[0] for strength in (0.6, -0.8)]
    for name in layers[0]:
        written = np.concatenate([layer[name] for layer in layers]).astype("f4")
        np.testing.assert_array_equal(read[header["columns"].index(name)], written)


@pytest.mark.parametrize("loader", LOADERS)
def test_no_step_is_thinned_away(tensorboards, loader):
    """TensorBoard's own limits would keep 100 steps (fast) or 10 (slow), at random."""
    board = tensorboards[loader]
    read_whole(board)
    for step in (0, 77, MANY_STEPS - 1):
        query = f"run=many_steps&tag=steps&step={step}"
        (curve,) = board.json(f"/api/v1/curve?{query}")["curves"]
        assert curve["steps"] == list(range(MANY_STEPS))
        np.testing.assert_array_equal(np.array(curve["rows"], "f4"), many_steps_curve(step))


@pytest.mark.parametrize("loader", LOADERS)
def test_the_tab_is_active(tensorboards, loader):
    read_whole(tensorboards[loader])
    status, body = tensorboards[loader].get("/data/plugins_listing")
    assert status == 200
    assert b'"single_directions": {' in body
    assert b'"tab_name": "Single Directions"' in body


# ------------------------------------------------------------- log directories of other kinds


def write_raw(folder, plugin_name, tensor, content, data_class=None):
    """An event as another program would write it, without our checks."""
    folder.mkdir(parents=True)
    meta = summary_pb2.SummaryMetadata(
        plugin_data=summary_pb2.SummaryMetadata.PluginData(
            plugin_name=plugin_name, content=content
        ),
        data_class=data_class or summary_pb2.DATA_CLASS_TENSOR,
    )
    proto = tensor_util.make_tensor_proto(tensor)
    value = summary_pb2.Summary.Value(tag="odd", metadata=meta, tensor=proto)
    with open(folder / "events.out.tfevents.1.test", "wb") as file:
        records = RecordWriter(file)
        for event in (
            event_pb2.Event(wall_time=1.0, file_version="brain.Event:2"),
            event_pb2.Event(wall_time=2.0, step=1, summary={"value": [value]}),
        ):
            records.write(event.SerializeToString())


@pytest.fixture(scope="module")
def foreign_logdir(tmp_path_factory):
    """One good run among everything that can be wrong with others."""
    logdir = tmp_path_factory.mktemp("foreign")
    good = summary.ablation_curve("good", [0, 4], [[1.0, 0.1]], n_units=4)
    with summary.Writer(logdir / "good") as writer:
        writer.add(good)
    with summary.Writer(logdir / "cut_off") as writer:
        writer.add(good)
        writer.add(good, step=1)
    (path,) = (logdir / "cut_off").iterdir()
    path.write_bytes(path.read_bytes()[:-20])
    (logdir / "noise").mkdir()
    (logdir / "noise" / "events.out.tfevents.1.test").write_bytes(bytes(range(256)) * 40)
    (logdir / "empty_file").mkdir()
    (logdir / "empty_file" / "events.out.tfevents.1.test").touch()
    ours, units = metadata.PLUGIN_NAME, metadata.UNITS_PLUGIN_NAME
    good_content = good.value[0].metadata.plugin_data.content
    flat = np.zeros(3, "f4")
    write_raw(logdir / "wrong_shape", ours, flat, good_content)
    write_raw(logdir / "garbage", ours, flat, b"\xff\xfe garbage")
    write_raw(logdir / "later", ours, flat, b'{"v": 99, "kind": "hologram"}')
    blob = summary_pb2.DATA_CLASS_BLOB_SEQUENCE
    text = np.array([b"not", b"a table"], dtype=object)
    write_raw(logdir / "bad_table", units, text, b'{"v": 1, "kind": "units"}', blob)
    write_raw(logdir / "someone_else", "histograms", np.zeros((1, 3)), b"")
    return logdir


@pytest.fixture(scope="module", params=LOADERS)
def foreign_board(request, foreign_logdir):
    board = TensorBoard(
        foreign_logdir, f"--load_fast={'true' if request.param == 'fast' else 'false'}"
    )
    yield board
    board.close()
    assert "Traceback" not in "".join(board.printed)


def test_a_foreign_log_directory_is_read_as_far_as_it_goes(foreign_board):
    wanted = {"good", "cut_off", "wrong_shape", "bad_table"}
    index = foreign_board.wait_for_index(
        lambda index: len(index["series"]) >= len(wanted) and len(index["skipped"]) >= 2
    )
    assert {s["run"] for s in index["series"]} == wanted
    reasons = {s["run"]: s["reason"] for s in index["skipped"]}
    assert reasons == {"garbage": "the content is not JSON", "later": "newer"}

    query = "&".join(
        f"run={run}&tag={tag}"
        for run, tag in [("good", "good"), ("cut_off", "good"), ("wrong_shape", "odd")]
    )
    good, cut_off, wrong = foreign_board.json(f"/api/v1/curve?{query}")["curves"]
    assert good["rows"] == [[1.0, 0.1]]
    assert cut_off["steps"] == [0]  # what was whole before the cut
    assert "shape" in wrong["error"]

    (step,) = foreign_board.json("/api/v1/units/steps?run=bad_table&tag=odd")["steps"]
    assert "not JSON" in step["error"]
    status, body = foreign_board.get(f"{ROUTES}/api/v1/units?run=bad_table&tag=odd&step=1")
    assert (status, b"unreadable_data" in body) == (422, True)
