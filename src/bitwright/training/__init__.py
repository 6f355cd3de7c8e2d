"""Quantization-aware training: `prepare_qat` for those who keep their loop, `train` for those who want one."""

from bitwright.training.options import Options
from bitwright.training.qat import prepare_qat
from bitwright.training.trainer import train

__all__ = ["Options", "prepare_qat", "train"]
