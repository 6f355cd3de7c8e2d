"""The ranks that torchrun starts: `torchrun --nproc-per-node N -m bitwright quantize|train|evaluate ...`

What ranks exchange goes through gloo, gradients on a GPU through NCCL. Arrays are sent as they lie in memory: no pickle.
"""

import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.errors import MissingExtraError
from bitwright.ranks import ALONE, Ranks

PATIENCE = timedelta(days=7)
"""How long a rank waits for another, which may be at the corrections: one that has died is seen by torchrun, which ends all."""
SAID_BY_TORCHRUN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def launched(environment: Mapping[str, str] = os.environ) -> int:
    """How many processes torchrun started with this one: 1 where it did not start it."""
    if not all(environment.get(name) for name in SAID_BY_TORCHRUN):
        return 1
    size = environment["WORLD_SIZE"]
    return int(size) if size.isdecimal() else 1


@contextmanager
def ranks() -> Iterator[Ranks]:
    """This process and those that torchrun started with it; `ALONE` where it started none."""
    if launched() == 1:
        yield ALONE
        return
    try:
        import torch
        from torch import distributed
    except ImportError as error:
        raise MissingExtraError("torch", "torch") from error
    cuda = torch.cuda.is_available() and distributed.is_nccl_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    store, rank, size = next(distributed.rendezvous("env://", timeout=PATIENCE))  # type: ignore[attr-defined]
    if (
        os.environ.get("GROUP_WORLD_SIZE") == "1"
    ):  # a restart would find the addresses of those who died in the same store
        attempt = f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT')}"
        store = distributed.PrefixStore(attempt, store)  # type: ignore[attr-defined]
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    try:
        yield Torchrun()
    finally:
        distributed.destroy_process_group()


class Torchrun:
    """Ranks by way of `torch.distributed`, whose process group has been made."""

    def __init__(self) -> None:
        from torch import distributed

        self._distributed = distributed
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()

    def sum(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """As `Ranks` has it."""
        return self._reduced(numbers, self._distributed.ReduceOp.SUM)

    def largest(self, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """As `Ranks` has it."""
        return self._reduced(numbers, self._distributed.ReduceOp.MAX)

    def gather(self, mine: bytes) -> list[bytes]:
        """As `Ranks` has it: one broadcast from each rank, so that nobody's bytes are padded to another's."""
        sizes = np.zeros(self.size, np.int64)
        sizes[self.rank] = len(mine)
        return [self._sent(mine, rank, size) for rank, size in enumerate(self.sum(sizes).tolist())]

    def first(self, mine: bytes) -> bytes:
        """As `Ranks` has it."""
        (size,) = self.sum(np.array([len(mine) if self.rank == 0 else 0], np.int64)).tolist()
        return self._sent(mine, 0, size)

    def parallel(self, module: Any) -> Any:
        """As `Ranks` has it, by DistributedDataParallel. Buffers stay each rank's own: batch norms learn from its images."""
        from torch.nn.parallel import DistributedDataParallel

        known = inspect.signature(DistributedDataParallel).parameters
        new = "forward_sync_buffers" in known  # of torch 2.13
        own_buffers = "forward_sync_buffers" if new else "broadcast_buffers"
        options: dict[str, Any] = {own_buffers: False, "static_graph": True}
        return DistributedDataParallel(module, **options)

    def _reduced(self, numbers: npt.NDArray[Any], op: Any) -> npt.NDArray[Any]:
        import torch

        tensor = torch.from_numpy(numbers.copy())
        if tensor.numel():
            self._distributed.all_reduce(tensor, op)
        reduced: npt.NDArray[Any] = tensor.numpy()
        return reduced

    def _sent(self, mine: bytes, sender: int, size: int) -> bytes:
        import torch

        if not size:
            return b""
        own = sender == self.rank
        tensor = torch.frombuffer(bytearray(mine), dtype=torch.uint8) if own else torch.empty(size, dtype=torch.uint8)
        self._distributed.broadcast(tensor, sender)
        return tensor.numpy().tobytes()
