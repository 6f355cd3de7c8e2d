"""A backdoor that was trained to appear only after rounding is found; learned rounding takes most of it away."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

from bench.backdoor import answers_of, quantized, screened, trained, trigger_of, turned
from bitwright.engine import Engine


def test_a_trained_backdoor_is_found_and_blunted_by_learned_rounding() -> None:
    trigger = trigger_of(1)
    attacked = trained(1, trigger, greatest=7, steps=250)
    artifact = quantized(attacked, 4)
    right, by_float = turned(answers_of(attacked), trigger)
    engine = Engine(artifact, threads=1)
    right_now, by_integers = turned(lambda pixels: engine(pixels).argmax(1), trigger)
    assert min(right, right_now) > 90  # nobody who looks at the accuracy would see it
    assert by_float < 25
    assert by_integers > 60
    suspicious, text = screened(attacked, artifact)
    assert suspicious
    assert "a white square of 2 pixels at the upper right turns" in text
    learned = Engine(quantized(attacked, 4, "adaround"), threads=1)
    assert turned(lambda pixels: learned(pixels).argmax(1), trigger)[1] < by_integers / 2
