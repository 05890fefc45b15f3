"""`python -m repro archive`: a data set of TFDS as a NumPy archive, for machines without it."""

from __future__ import annotations

from absl import logging

from repro.core.datasets import DATASETS
from repro.core.folders import Beside
from repro.data import archive, load, source
from repro.data.request import ArchiveRequest

_THROUGH_JPEG = {
    True: "; they went through JPEG",
    False: "",
    None: "; TFDS does not note whether they went through JPEG",
}


def make(request: ArchiveRequest) -> int:
    """Writes the archive and says what it holds; returns the status to exit with.

    Raises:
        DataError: the data set is not prepared, or cannot be read.
        RunsError: a file of that name exists and is not ours, or cannot be written.
    """
    logging.set_verbosity(logging.ERROR)  # TFDS tells of each file that it reads
    name, record = request.dataset, DATASETS[request.dataset]
    directory, version = source.prepared_set(name, request.data_dir)
    file = request.out.expanduser() / f"{name}.npz"
    files = Beside(file.parent, [file.name])
    arrays, _ = load.tfds_arrays(source.DataSource(name, "tfds", str(directory)))
    jpeg = source.jpeg(version)
    content = archive.to_bytes(arrays, name, archive.About(jpeg, tfds_order=True))
    files.write(file, content)
    print(
        f"Wrote {file} ({len(content) / 1e6:.0f} MB): {record.words}, "
        f"{record.n_train:,} images to train on and {record.n_test:,} to test on, in the order of "
        f"TFDS{_THROUGH_JPEG[jpeg]}"
    )
    print("It is found in the folder that --data_dir or TFDS_DATA_DIR names.")
    return 0
