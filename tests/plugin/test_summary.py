"""What the writer accepts, refuses, and puts on disk."""

import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.util import tensor_util

from tb_plugin import metadata, summary


def one_value(written):
    (value,) = written.value
    return value, tensor_util.make_ndarray(value.tensor)


def events_in(folder):
    """Reads the records of the only event file by hand: length, checksum, bytes, checksum."""
    (path,) = folder.iterdir()
    raw, events = path.read_bytes(), []
    while raw:
        (length,) = struct.unpack("<Q", raw[:8])
        events.append(event_pb2.Event.FromString(raw[12 : 12 + length]))
        raw = raw[16 + length :]
    return events


def tiny_curve(tag="curve", **changes):
    arguments = {"ablated_units": [0, 2, 4], "accuracy": [[1.0, 0.5, 0.1]], "n_units": 4}
    return summary.ablation_curve(tag, **(arguments | changes))


def tiny_table(**changes):
    arguments = {
        "layers": ["a", "a", "b"],
        "units": [0, 1, 0],
        "columns": {"class_selectivity": [0.0, 0.5, 1.0], "importance": [0.0, 0.25, -0.5]},
    }
    return summary.unit_table("units", **(arguments | changes))


@st.composite
def curves(draw):
    n_units = draw(st.integers(1, 2000))
    counts = draw(st.sets(st.integers(0, n_units), min_size=1, max_size=12))
    n_orderings = draw(st.integers(1, 4))
    shape = (n_orderings, len(counts))
    accuracy = draw(hnp.arrays("f4", shape, elements=st.floats(0, 1, width=32)))
    return n_units, sorted(counts), accuracy


@given(curves())
@settings(max_examples=60, deadline=None)
def test_a_curve_keeps_every_bit(curve):
    n_units, counts, accuracy = curve
    value, tensor = one_value(summary.ablation_curve("t", counts, accuracy, n_units=n_units))
    assert tensor.dtype == np.float32
    np.testing.assert_array_equal(tensor[0], counts)
    np.testing.assert_array_equal(tensor[1:], accuracy)
    content = metadata.parse_content(value.metadata.plugin_data.content)
    assert content["n_units"] == n_units


@given(
    names=st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=20),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_a_unit_table_keeps_every_bit_and_any_layer_name(names, data):
    # Units counted per layer, as a network has them.
    units = [names[:i].count(name) for i, name in enumerate(names)]
    elements = st.floats(-1e6, 1e6, width=32) | st.just(np.nan)
    column = data.draw(hnp.arrays("f4", len(names), elements=elements))
    _, tensor = one_value(summary.unit_table("t", names, units, {"importance": column}))
    header = metadata.parse_table_header(tensor[0])
    layer, unit, stored = np.frombuffer(tensor[1], "<f4").reshape(3, len(names))
    assert [header["layers"][int(i)] for i in layer] == names
    np.testing.assert_array_equal(unit, units)
    np.testing.assert_array_equal(stored, column)


def test_a_curve_says_what_it_is():
    value, _ = one_value(
        tiny_curve(split="test", fill="mean", facts={"seed": "3"}, description="d")
    )
    assert value.metadata.plugin_data.plugin_name == "single_directions"
    assert value.metadata.data_class == summary_pb2.DATA_CLASS_TENSOR
    assert value.metadata.summary_description == "d"
    content = metadata.parse_content(value.metadata.plugin_data.content)
    assert (content["split"], content["fill"], content["order"]) == ("test", "mean", "random")
    assert content["facts"] == {"seed": "3"}


def test_a_unit_table_is_a_blob_sequence_of_rank_one():
    value, tensor = one_value(tiny_table())
    assert value.metadata.plugin_data.plugin_name == "single_directions_units"
    assert value.metadata.data_class == summary_pb2.DATA_CLASS_BLOB_SEQUENCE
    assert tensor.shape == (2,)  # the fast loader drops rank 0


def test_reduced_precision_is_written_as_float32():
    """TensorBoard cannot read bfloat16 back: it answers 500."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    accuracy = np.array([[1.0, 0.5, 0.125]], ml_dtypes.bfloat16)
    _, tensor = one_value(tiny_curve(accuracy=accuracy))
    assert tensor.dtype == np.float32
    np.testing.assert_array_equal(tensor[1], [1.0, 0.5, 0.125])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accuracy": [[1.0, 0.5]]}, r"accuracy must have shape \(n_orderings, 3\)"),
        ({"accuracy": [1.0, 0.5, 0.1]}, r"Received shape \(3,\)"),
        ({"accuracy": np.zeros((0, 3))}, r"Received shape \(0, 3\)"),
        ({"accuracy": [[100.0, 50.0, 10.0]]}, "not per cent"),
        ({"accuracy": [[1.0, np.nan, 0.1]]}, "between 0 and 1"),
        ({"accuracy": [[1.0, -0.1, 0.1]]}, "between 0 and 1"),
        ({"accuracy": [["a", "b", "c"]]}, "array of numbers"),
        ({"accuracy": [[1.0], [1.0, 2.0]]}, "array of numbers"),
        ({"ablated_units": [0, 2, 2]}, "strictly increasing"),
        ({"ablated_units": [0, 3, 2]}, "strictly increasing"),
        ({"ablated_units": [0, 2.5, 4]}, "whole numbers"),
        ({"ablated_units": [0, 2, np.inf]}, "whole numbers"),
        ({"ablated_units": [0, 2, 5]}, "between 0 and n_units=4. Received: 0 to 5"),
        ({"ablated_units": [-1, 2, 4]}, "between 0 and n_units=4"),
        ({"ablated_units": [[0, 2, 4]]}, r"shape \(n_points,\)"),
        ({"n_units": 0}, "n_units must be a whole number"),
        ({"n_units": 4.5}, "n_units must be a whole number"),
        ({"n_units": "four"}, "n_units must be a whole number"),
        ({"facts": {"seed": 3}}, "facts must map names to texts"),
        ({"split": ""}, "split must be a text"),
        ({"tag": ""}, "tag must be a text"),
    ],
)
def test_a_wrong_curve_is_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny_curve(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"units": [0, 1]}, r"units must have shape \(3,\)"),
        ({"units": [0, 0, 0]}, "repeated pair"),
        ({"units": [0, -1, 0]}, "whole numbers from 0"),
        ({"units": [0, 2**24, 0]}, "whole numbers from 0"),
        ({"layers": [], "units": []}, "at least one row"),
        ({"columns": {}}, "at least one measured quantity"),
        ({"columns": {"unit": [1, 2, 3]}}, "cannot be called"),
        ({"columns": {"importance": [1, 2]}}, r"must have shape \(3,\)"),
        ({"columns": {"importance": [1, 2, np.inf]}}, "must be finite"),
        ({"columns": {"class_selectivity": [0, 0.5, 1.5]}}, "between 0 and 1"),
    ],
)
def test_a_wrong_unit_table_is_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny_table(**changes)


def test_events_carry_step_and_summary(tmp_path):
    with summary.Writer(tmp_path / "deep" / "run") as writer:
        writer.add(tiny_curve(), step=3)
        writer.add(tiny_table(), step=3)
        writer.add(tiny_curve(), step=7)
    version, *events = events_in(tmp_path / "deep" / "run")
    assert version.file_version == "brain.Event:2"
    assert [(e.step, e.summary.value[0].tag) for e in events] == [
        (3, "curve"),
        (3, "units"),
        (7, "curve"),
    ]
    assert all(e.wall_time > 1e9 for e in events)


def test_a_summary_is_on_disk_before_close(tmp_path):
    writer = summary.Writer(tmp_path)
    writer.add(tiny_curve())
    assert len(events_in(tmp_path)) == 2
    writer.close()
    writer.close()


@pytest.mark.parametrize("step", [3, 2])
def test_a_step_cannot_be_written_twice_or_go_back(tmp_path, step):
    with summary.Writer(tmp_path) as writer:
        writer.add(tiny_curve(), step=3)
        with pytest.raises(ValueError, match="step must be above 3, .* tag 'curve'"):
            writer.add(tiny_curve(), step=step)
        writer.add(tiny_curve("another"), step=step)


@pytest.mark.parametrize("step", [-1, 1.5, True])
def test_a_step_is_a_whole_number(tmp_path, step):
    with summary.Writer(tmp_path) as writer, pytest.raises(ValueError, match="whole number"):
        writer.add(tiny_curve(), step=step)


def test_two_writers_in_one_directory_do_not_share_a_file(tmp_path):
    with summary.Writer(tmp_path), summary.Writer(tmp_path):
        assert len(list(tmp_path.iterdir())) == 2


def test_writing_imports_neither_tensorflow_nor_keras_nor_repro(tmp_path):
    probe = (
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'repro'): sys.modules[name] = None\n"
        "from tb_plugin import demo\n"
        f"sys.exit(demo.main([{str(tmp_path / 'log')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "log").rglob("events.out.tfevents.*"))) == 10


def test_the_demo_does_not_write_into_a_directory_in_use(tmp_path, capsys):
    from tb_plugin import demo

    (tmp_path / "mine").touch()
    assert demo.main([str(tmp_path)]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("scales", "accuracy", "message"),
    [
        ([0.1, 0.1], [[1, 1]], "increasing"),
        ([-0.1, 0.1], [[1, 1]], "at least 0"),
        ([[0.1]], [[1]], "shape"),
        ([0.1, 1], [[1, 1, 1]], "per entry of scales"),
        ([0.1, 1], [[1, 1.5]], "between 0 and 1"),
    ],
)
def test_a_noise_curve_says_what_is_wrong_with_it(scales, accuracy, message):
    with pytest.raises(ValueError, match=message):
        summary.noise_curve("t", scales, accuracy, n_units=4)


def test_class_values_need_class_names_of_their_number():
    with pytest.raises(ValueError, match=r"class_means must have shape \(1, 0\)"):
        summary.unit_table("t", ["a"], [0], {"x": [1.0]}, class_means=[[1.0]])
    for sizes in ([1], [1.5, 2], [-1, 2], [[1, 2]]):
        with pytest.raises(ValueError, match="class_sizes must be 2 whole numbers of images"):
            summary.unit_table("t", ["a"], [0], {"x": [1.0]}, classes="ab", class_sizes=sizes)
    with pytest.raises(ValueError, match=r"class_drops must have shape \(1, 2\)"):
        summary.unit_table("t", ["a"], [0], {"x": [1.0]}, classes="ab", class_drops=[[1.0]])
