"""Why some ops have no mapping: what they compute is no function of codes that is exact and cheap."""

from bitwright.capture.program import Fx
from bitwright.capture.tail import op_name

_ORDER = (
    "which numbers are the greatest depends on the order of all of them, and two that are nearly alike change places by one "
    "rounding; a maximum (amax), a softmax or a threshold by a constant do not"
)
_PLACES = "it gives places, no numbers, and these jump where two numbers are nearly alike"
REFUSED = {
    **dict.fromkeys(("topk", "sort", "median", "nanmedian", "kthvalue", "mode", "msort", "quantile"), _ORDER),
    **dict.fromkeys(("argmax", "argmin", "argsort", "nonzero"), _PLACES),
    "gather": "which numbers it takes is computed from the image; places that are fixed are mapped (index_select)",
    **dict.fromkeys(
        ("cumprod", "prod"),
        "a product of many numbers has a range that no 8 bits hold; prod over one axis of a few is mapped",
    ),
    **dict.fromkeys(
        ("conv3d", "max_pool3d", "avg_pool3d"), "bitwright classifies images, which have two axes of space"
    ),
    **dict.fromkeys(
        ("lstm", "gru", "rnn_tanh", "rnn_relu"), "a recurrence would be a network of as many layers as there are steps"
    ),
    **dict.fromkeys(
        ("fft_fft2", "fft_rfft2", "fft_irfft2", "fft_ifft2", "_fft_r2c", "_fft_c2c", "_fft_c2r"),
        "there are no complex codes",
    ),
    "grid_sampler": "where it reads is computed from the image",
    "grid_sampler_2d": "where it reads is computed from the image",
}
"""By the ATen name of an op."""


def why_refused(fx: Fx) -> str:
    """The reason, to be put behind the op's name; nothing where there is none to tell."""
    reason = REFUSED.get(op_name(fx))
    return f": {reason}" if reason else ""
