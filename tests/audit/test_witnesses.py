"""Which powers of two multipliers are wrong by, by the biases and by who reads the channels."""

import numpy as np

from bitwright.audit.witnesses import overruled

NAN = np.nan
UNKNOWN = np.full(5, NAN)


def test_biases_that_are_off_by_powers_of_two_are_believed_without_a_reader() -> None:
    octaves = np.array([0.01, 1.0, 1.01, -0.01, NAN])
    doubted = np.array([False, True, True, False, False])
    assert overruled(octaves, UNKNOWN, doubted).tolist() == [0.0, 1.0, 1.0, 0.0, 0.0]


def test_one_bias_among_many_that_a_correction_has_moved_is_not() -> None:
    """It is a power of two by chance: of few bits in front, corrections of biases are large."""
    octaves = np.array([0.3, 0.72, 0.98, -0.73, 0.01])
    doubted = np.array([False, True, True, True, False])
    assert overruled(octaves, UNKNOWN, doubted).tolist() == [0.0, 0.0, 0.0, 0.0, 0.0]


def test_where_a_reader_agrees_a_bias_is_believed() -> None:
    octaves = np.array([0.3, 0.72, 1.1, -0.73, 0.01])
    doubted = np.array([False, True, True, True, False])
    read = np.array([NAN, 0.0, 1.0, NAN, NAN])
    assert overruled(octaves, read, doubted).tolist() == [0.0, 0.0, 1.0, 0.0, 0.0]
    octaves[2], read[3] = NAN, 2.0
    assert overruled(octaves, read, doubted).tolist() == [0.0, 0.0, 1.0, 0.0, 0.0]
