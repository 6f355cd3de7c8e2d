"""Values in memory and in files are the same; what is closed gives its room back."""

import torch

from bitwright.algorithms.correction.values import Memory


def test_what_does_not_fit_goes_to_a_file_and_reads_the_same() -> None:
    memory = Memory(1000)
    small, large = memory.values((10, 5)), memory.values((100, 5))
    assert [values.spilled for values in (small, large)] == [False, True]
    numbers = torch.arange(500.0).reshape(100, 5)
    for values in (small, large):
        values[2:6] = numbers[2:6]
        assert torch.equal(values[2:6], numbers[2:6])
        assert torch.equal(values[torch.tensor([5, 3]).numpy()], numbers[[5, 3]])
    assert (len(small), len(large)) == (10, 100)


def test_closing_gives_room_to_the_next() -> None:
    memory = Memory(400)
    first = memory.values((100,))
    assert memory.values((1,)).spilled
    first.close()
    assert memory.free_bytes == 400
    assert not memory.values((100,)).spilled
