"""The C++ engine; see csrc/bindings.cc."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Flat = npt.NDArray[np.float32] | npt.NDArray[np.uint16]  # uint16: bfloat16, as its bits

_Values = Sequence[tuple[Sequence[int], int, int | None, int, Sequence[int]]]
_Nodes = Sequence[tuple[str, str, Sequence[int], int, Mapping[str, Sequence[int]], Mapping[str, npt.NDArray[Any]]]]

def isas() -> list[str]: ...
def detected_isa() -> str: ...
def detected_features() -> list[str]: ...
def chosen_isa(isa: str = "") -> str: ...
def kernels() -> list[tuple[str, str, str, list[str]]]: ...
def chosen_kernels(
    values: _Values, nodes: _Nodes, inputs: Sequence[int], outputs: Sequence[int], features: Sequence[str]
) -> list[tuple[str, str, str, str]]: ...
def available_threads() -> int: ...
def measured_peak(isa: str = "") -> float: ...
def measured_clock() -> float: ...
def measured_bit_peak(isa: str = "") -> float: ...
def count_bins(values: npt.NDArray[np.float32], scale: float, counts: npt.NDArray[np.int64]) -> None: ...
def fake_quantize(x: Flat, y: Flat, scale: float, zero_point: int, hi: int, threads: int = 1) -> None: ...
def fake_quantize_gradient(
    x: Flat, gradient: Flat, dx: Flat, scale: float, zero_point: int, hi: int, threads: int = 1
) -> float: ...
def round_weight(w: Floats, y: Flat, scale: Floats, least: float, lo: int, hi: int) -> None: ...
def round_weight_gradient(
    w: Floats, gradient: Flat, dw: Floats, scale: Floats, dscale: Floats, factor: float, least: float, lo: int, hi: int
) -> None: ...
def channel_moments(x: Flat, mean: Floats, variance: Floats, threads: int) -> None: ...
def finish(
    x: Flat,
    residual: Flat | None,
    y: Flat,
    channels: int,
    mean: Floats | None,
    gain: Floats | None,
    shift: Floats | None,
    slope: Floats | None,
    after: Floats | None,
    low: float,
    high: float,
    rounding: int,
    scale: float,
    zero_point: int,
    hi: int,
    threads: int,
) -> None: ...
def finish_gradient(
    x: Flat,
    residual: Flat | None,
    dz: Flat,
    channels: int,
    mean: Floats | None,
    gain: Floats | None,
    shift: Floats | None,
    slope: Floats | None,
    after: Floats | None,
    low: float,
    high: float,
    rounding: int,
    scale: float,
    zero_point: int,
    hi: int,
    threads: int,
    gradient: Flat,
    of_z: Floats | None,
    of_zx: Floats | None,
    of_slope: Floats | None,
    of_after: Floats | None,
) -> float: ...
def channel_affine(
    dz: Flat, x: Flat, dx: Flat, mean: Floats, a: Floats, b: Floats, c: Floats, threads: int
) -> None: ...
def can_resize() -> bool: ...
def resize(
    pixels: npt.NDArray[np.uint8],
    new_height: int,
    new_width: int,
    filter: str,
    top: int,
    left: int,
    height: int,
    width: int,
) -> npt.NDArray[Any]: ...

class Plan:
    def __init__(
        self,
        values: _Values,
        nodes: _Nodes,
        inputs: Sequence[int],
        outputs: Sequence[int],
        threads: int = 0,
        keep_values: bool = False,
        isa: str = "",
        encoder: tuple[str, int, npt.NDArray[np.uint8] | None] | None = None,
        check_weights: int = 0,
    ) -> None: ...
    def run(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[Any]: ...
    def values(self, image: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]: ...
    def time_steps(self, image: npt.NDArray[np.uint8]) -> list[tuple[str, str, str, str, int, int, float]]: ...
    @property
    def threads(self) -> int: ...
    @property
    def packed_memory(self) -> list[tuple[str, int, int]]: ...
    @property
    def arena_bytes(self) -> int: ...
    @property
    def contexts(self) -> int: ...
    @property
    def isa(self) -> str: ...
