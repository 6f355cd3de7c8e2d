"""The prepared model: the captured network as a trainable module that also computes the integers themselves."""

from bitwright.prepared.model import PreparedModel

__all__ = ["PreparedModel"]
