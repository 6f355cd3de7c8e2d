from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bitwright.images import resize
from bitwright.images.preprocess import Preprocess
from bitwright.images.resize import INTERPOLATIONS, NATIVE, resized

SIZES = [
    ((256, 256), (224, 224)),
    ((375, 500), (256, 341)),
    ((500, 375), (341, 256)),
    ((32, 32), (224, 224)),  # larger: some filters have negative weights and overshoot
    ((1, 1), (5, 3)),
    ((2, 3), (1, 1)),
    ((61, 7), (40, 2)),  # narrower than a load of the kernel
    ((300, 20), (4, 19)),  # columns first, in new versions of Pillow
    ((20, 300), (19, 4)),
    ((24, 24), (48, 12)),
    ((12, 24), (6, 48)),
    ((1, 3000), (1, 1)),  # thousands of weights for one pixel
]


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    resize._is_pillows.cache_clear()
    yield
    resize._is_pillows.cache_clear()


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The sizes that were resized natively; skipped where the machine has no kernel for that."""
    if not resize._can_resize():
        pytest.skip("this machine resizes with Pillow alone")
    made: list[tuple[int, int]] = []
    real = resize._natively

    def counted(pixels: Any, size: tuple[int, int], *rest: Any) -> Any:
        made.append(size)
        return real(pixels, size, *rest)

    monkeypatch.setattr(resize, "_natively", counted)
    return made


def pictures(height: int, width: int, mode: str) -> list[Image.Image]:
    """Noise, and only black and white, which goes furthest beyond 0 and 255 on the way."""
    rng = np.random.default_rng(height * 1000 + width)
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    noise = rng.integers(0, 256, shape, np.uint8)
    return [Image.fromarray(noise), Image.fromarray((noise > 127).astype(np.uint8) * 255)]


@pytest.mark.parametrize("name", INTERPOLATIONS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(("size", "new"), SIZES)
def test_every_byte_is_pillows(name: str, mode: str, size: tuple[int, int], new: tuple[int, int]) -> None:
    for picture in pictures(*size, mode):
        expected = np.asarray(picture.resize((new[1], new[0]), INTERPOLATIONS[name]))
        found = resized(picture, new, name, (0, 0, *new))
        np.testing.assert_array_equal(found, expected)
        assert found.flags.writeable


def test_random_sizes_and_cuts_have_the_bytes_of_pillow(native: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(0)
    for trial in range(300):
        height, width, new_height, new_width = (int(n) for n in rng.integers(1, 70, 4))
        top, left = int(rng.integers(new_height)), int(rng.integers(new_width))
        box = (top, left, int(rng.integers(1, new_height - top + 1)), int(rng.integers(1, new_width - left + 1)))
        name = sorted(NATIVE)[trial % len(NATIVE)]
        picture = pictures(height, width, "RGB")[trial % 2]
        expected = np.asarray(picture.resize((new_width, new_height), INTERPOLATIONS[name]))
        found = resized(picture, (new_height, new_width), name, box)
        np.testing.assert_array_equal(found, expected[top : top + box[2], left : left + box[3]])
    assert len(native) > 100


def test_a_photograph_goes_through_the_native_resize(native: list[tuple[int, int]]) -> None:
    Preprocess(224, resize=256).apply(pictures(375, 500, "RGB")[0])
    assert native[-1] == (256, 341)


def test_a_pillow_with_other_bytes_does_the_work_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    real = resize._natively
    monkeypatch.setattr(resize, "_natively", lambda *given: real(*given) ^ 1)
    picture = pictures(40, 40, "RGB")[0]
    found = resized(picture, (20, 20), "bilinear", (0, 0, 20, 20))
    np.testing.assert_array_equal(found, np.asarray(picture.resize((20, 20), Image.Resampling.BILINEAR)))


def test_without_the_extension_or_with_an_unknown_isa_pillow_resizes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def can_resize(self) -> bool:
            raise RuntimeError("BITWRIGHT_ISA: unknown")

    picture = pictures(40, 40, "RGB")[0]
    expected = np.asarray(picture.resize((20, 20), Image.Resampling.BICUBIC))
    for module in (None, Refusing()):
        monkeypatch.setattr(resize, "_native", lambda module=module: module)
        resize._is_pillows.cache_clear()
        np.testing.assert_array_equal(resized(picture, (20, 20), "bicubic", (0, 0, 20, 20)), expected)


def test_a_large_picture_is_never_held_twice(native: list[tuple[int, int]]) -> None:
    resized(Image.new("RGB", (2100, 2000)), (20, 21), "box", (0, 0, 20, 21))
    assert (20, 21) not in native


@pytest.mark.parametrize(
    ("new", "box"),
    [
        ((8, 8), (0, 0, 9, 8)),
        ((8, 8), (-1, 0, 4, 4)),
        ((8, 8), (0, 5, 4, 4)),
        ((8, 8), (0, 0, 0, 4)),
        ((10**6, 8), (0, 0, 1, 1)),
    ],
)
def test_the_extension_refuses_what_lies_outside(
    native: list[tuple[int, int]], new: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    module = resize._native()
    with pytest.raises(ValueError, match="area inside"):
        module.resize(np.zeros((4, 4, 3), np.uint8), *new, "box", *box)
    with pytest.raises(ValueError, match="unknown filter"):
        module.resize(np.zeros((4, 4, 3), np.uint8), 8, 8, "cubic", 0, 0, 8, 8)
