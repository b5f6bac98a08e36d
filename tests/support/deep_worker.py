"""What PyTorch and TensorFlow make of training sets, by the Python of `.venv-deep`.

Run in a folder of Parquet files: `python -m tests.support.deep_worker CHECK`.
"""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import numpy
import pyarrow
import pyarrow.parquet

ROWS = 10_007
PATH = "rows.parquet"


def write_rows() -> None:
    """Write rows that are known by their number."""
    numbers = numpy.arange(ROWS)
    columns = {"number": numbers, "half": numbers / 2, "is_late": numbers % 3 == 0}
    pyarrow.parquet.write_table(pyarrow.table(columns), PATH, row_group_size=999)


def dataset(**options):
    from feature_sync.integrations.torch import to_torch

    options = {"columns": ["number", "half"], "label": "is_late", "batch_size": 128, **options}
    return to_torch(options.pop("source", PATH), **options)


def numbers_in(loader) -> list[int]:
    """Return the numbers of all rows; features and labels must belong together."""
    found = []
    for features, label in loader:
        number = features[:, 0].long()
        assert (features[:, 1] * 2).long().equal(number)
        assert label.equal((number % 3 == 0).long())
        found += number.tolist()
    return found


def every_row_comes_once_whatever_the_number_of_workers() -> str:
    from torch.utils.data import DataLoader

    runs = 0
    for source in (PATH, pyarrow.parquet.read_table(PATH)):
        for workers in (0, 2, 4):
            for shuffle_buffer in (0, 1000):
                rows = dataset(source=source, shuffle_buffer=shuffle_buffer)
                loader = DataLoader(rows, batch_size=None, num_workers=workers, persistent_workers=workers > 0)
                orders = []
                for epoch in range(2):
                    rows.set_epoch(epoch)
                    orders.append(numbers_in(loader))
                    assert sorted(orders[-1]) == [*range(ROWS)], (workers, shuffle_buffer, epoch)
                assert (orders[0] == orders[1]) == (shuffle_buffer == 0)  # also where worker processes live on
                rows.set_epoch(0)
                assert numbers_in(loader) == orders[0]
                runs += 1
    return f"{runs} loaders"


def _rank(rank: int, port: int, folder: str) -> None:
    import torch
    from torch.utils.data import DataLoader

    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    rows = dataset(shuffle_buffer=500)
    for epoch in range(2):
        rows.set_epoch(epoch)
        found = numbers_in(DataLoader(rows, batch_size=None, num_workers=2))
        Path(folder, f"{rank}-{epoch}").write_bytes(pickle.dumps(found))
    torch.distributed.destroy_process_group()


def every_row_comes_once_over_two_ranks() -> str:
    import socket
    import tempfile

    import torch.multiprocessing

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_rank, args=(port, folder), nprocs=2)
        for epoch in range(2):
            parts = [pickle.loads(Path(folder, f"{rank}-{epoch}").read_bytes()) for rank in range(2)]
            assert sorted(parts[0] + parts[1]) == [*range(ROWS)]
            assert min(map(len, parts)) > ROWS / 3
    return "2 ranks"


def a_model_of_torch_learns_what_the_rows_say() -> str:
    import torch
    from torch.utils.data import DataLoader

    torch.manual_seed(1)
    rows = dataset(columns=["half"], label="number", shuffle_buffer=4000, dtype=torch.float64, batch_size=256)
    model = torch.nn.Linear(1, 1, dtype=torch.float64)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for epoch in range(12):
        rows.set_epoch(epoch)
        for features, label in DataLoader(rows, batch_size=None):
            loss = torch.nn.functional.mse_loss(model(features / ROWS).squeeze(1), label / ROWS)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert abs(model.weight.item() - 2) < 0.05, model.weight
    return "1 models"


def what_is_not_exact_is_refused_by_name() -> str:
    import torch

    from feature_sync import RequestError
    from feature_sync.integrations.tensorflow import to_tensorflow

    exact = pyarrow.table({"id": [2**53, None], "y": [0, 1]})
    ((features, _),) = dataset(source=exact, columns=["id"], label="y", dtype=torch.float64)
    assert features[0].item() == 2**53
    assert features[1].isnan().item()
    beyond = pyarrow.table({"id": [2**53 + 1, None], "y": [0, 1]})
    refused = {
        lambda: [*dataset(source=beyond, columns=["id"], label="y", dtype=torch.float64)]: "'id'",
        lambda: [*dataset(source=beyond, columns=["id"], label="y")]: "'id'",
        lambda: [*to_tensorflow(beyond, columns=["id"], label="y", dtype="float64")]: "'id'",
        lambda: dataset(dtype=torch.int64): "int64",
    }
    for read, named in refused.items():
        told = ""
        try:
            read()
        except RequestError as refusal:
            told = str(refusal)
        assert named in told, told
    return f"{len(refused)} refused"


def tensorflow_takes_every_row_once_and_shuffles_anew() -> str:
    import tensorflow

    from feature_sync.integrations.tensorflow import to_tensorflow

    options = {"columns": ["number", "half"], "label": "is_late", "batch_size": 128}
    for shuffle_buffer in (0, 1000):
        rows = to_tensorflow(PATH, shuffle_buffer=shuffle_buffer, **options)
        assert rows.element_spec[0].shape.as_list() == [None, 2]
        orders = [[int(each) for features, _ in rows for each in features[:, 0]] for _ in range(2)]
        assert all(sorted(each) == [*range(ROWS)] for each in orders)
        assert (orders[0] == orders[1]) == (shuffle_buffer == 0)
    tensorflow.keras.utils.set_random_seed(1)
    model = tensorflow.keras.Sequential([tensorflow.keras.layers.Dense(1)])
    model.compile(loss="mse")
    fitted = model.fit(to_tensorflow(PATH, columns=["half"], label="is_late"), epochs=2, verbose=0)
    assert len(fitted.history["loss"]) == 2
    assert next(iter(to_tensorflow(PATH, columns=["half"], batch_size=ROWS))).shape == (ROWS, 1)
    return "3 datasets"


def main() -> None:
    write_rows()
    sys.stdout.write(f"{globals()[sys.argv[1]]()}\n")


if __name__ == "__main__":
    main()
