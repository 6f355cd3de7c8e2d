"""Which schemes and encoders of a prepared model are not ours: provenance says so."""

from bitwright.images.encoders import ENCODERS, Levels
from bitwright.images.preprocess import Preprocess
from bitwright.prepared.layer import Layer
from bitwright.prepared.model import PreparedModel
from bitwright.prepared.quantizers import ActivationQuantizer
from bitwright.registry import Foreign
from bitwright.schemes import SCHEMES


def foreign_encoder(preprocess: Preprocess) -> set[Foreign]:
    """Where the encoder comes from; one that was written out elsewhere is known by its name alone."""
    encoder = preprocess.bits
    if not isinstance(encoder, Levels):
        return set()
    name = encoder.source.partition(":")[0]
    origin = ENCODERS.origin(name) if name in ENCODERS else None
    return {origin or Foreign("encoder", encoder.source, "unknown")}


def foreign_schemes(prepared: PreparedModel) -> set[Foreign]:
    """Where the schemes of weights and activations come from, of those that are not ours."""
    names = {
        quantizer.scheme for quantizer in prepared.quantizers.values() if isinstance(quantizer, ActivationQuantizer)
    }
    for layer in prepared.layers.values():
        if isinstance(layer, Layer) and layer.quantizer is not None:
            names.add(layer.quantizer.scheme)
    return {origin for name in names if (origin := SCHEMES.origin(name)) is not None}
