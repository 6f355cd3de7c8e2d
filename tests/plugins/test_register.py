"""What cannot be registered is refused with what was expected; what is broken stops only those who ask for it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bitwright as bw
from bitwright.algorithms.ranges import RANGES, Range
from bitwright.algorithms.ranges.minmax import MinMax
from bitwright.errors import PluginError, RecipeError, SourceError
from bitwright.images.encoders import Pointwise, encoder
from bitwright.images.encoders.dither import Dither
from bitwright.images.encoders.thermometer import Thermometer
from bitwright.images.sources import Kind, open_source
from bitwright.plugins import TABLES, register, table
from bitwright.recipe import Recipe
from bitwright.schemes import SCHEMES, Affine, Carried
from tests.plugins.conftest import THINGS, install

pytestmark = pytest.mark.usefixtures("tables")


def carried(**attributes: Any) -> type[Carried]:
    return type("Scheme", (Carried,), {"name": "mine", "lo": -2, "hi": 2, "weights": True, **attributes})


def pointwise(**attributes: Any) -> type[Pointwise]:
    read = staticmethod(lambda option: Thermometer(3))
    return type("Mine", (Thermometer,), {"name": "mine", "usage": "mine", "read": read, **attributes})


class Unfinished(Range):
    name = "mine"


class Needy(MinMax):
    name = "mine"

    def __init__(self, share: float) -> None:
        self.share = share


class Mine(MinMax):
    name = "mine"


class Other(MinMax):
    name = "mine"


@pytest.mark.parametrize(
    ("kind", "thing", "name", "message"),
    [
        ("ranges", Mine, None, "expected a kind of scheme, range, correction, .*found 'ranges'; did you mean 'range'"),
        ("range", MinMax, None, "the range 'minmax' is one of bitwright's own; give yours another name"),
        ("range", Mine, "yours", "the range 'yours' calls itself 'mine'; its `name` has to be the same"),
        ("range", Mine, "a b", "expected a name of letters, digits and any of _ . [+] -, found 'a b'"),
        ("range", lambda x: x, None, "expected a name of letters, .* found None"),
        (
            "range",
            "text",
            "mine",
            "expected a bitwright.algorithms.ranges.range.Range, or a class of such, found 'text'",
        ),
        ("range", Unfinished, None, "Unfinished.* failed: Can't instantiate abstract class Unfinished .*activation"),
        ("range", Needy, None, "Needy.* failed: .*missing 1 required positional argument: 'share'"),
        ("correction", Mine, None, "expected a bitwright.algorithms.correction.correction.Correction"),
        ("training", Mine, None, "expected a bitwright.prepared.estimator.Estimator"),
        ("scheme", Affine(5, signed=True), None, "'int5' is one of bitwright's own"),
        ("scheme", Mine, None, "expected a bitwright.schemes.carried.Carried"),
        (
            "scheme",
            carried(weights=False),
            None,
            "expected it to be for weights or for activations, found False for both",
        ),
        ("scheme", carried(activations=True), None, "for weights or for activations, found True for both"),
        ("scheme", carried(lo=-128), None, "lo <= 0 < hi within -127..127, found lo = -128, hi = 2"),
        ("scheme", carried(hi=2.5), None, "expected whole numbers .* hi = 2.5"),
        ("scheme", carried(lo=1), None, "lo <= 0 < hi"),
        ("scheme", carried(weights=False, activations=True, lo=0, hi=256), None, "within 0..255"),
        ("scheme", carried(step=2), None, "one apart, found a step of 2"),
        ("scheme", carried(nearest=lambda self, x: np.where(x > 0, 2, -2)), None, "`nearest` has to be clip"),
        ("encoder", Dither, "mine", "expected a class of bitwright.images.encoders.Pointwise, found .*Dither"),
        ("encoder", Thermometer(3), "mine", "expected a class of .*Pointwise, found Thermometer"),
        ("encoder", type("Half", (Pointwise,), {"name": "half"}), None, "lacks __str__|lacks base, of_levels, read"),
        ("source", len, "mine", r"expected a bitwright.images.sources.Kind\(name, looks_like, accepts, open\)"),
        ("source", Kind("mine", "mine", "no function", open_source), None, "expected functions of a text as `accepts`"),  # type: ignore[arg-type]
        ("mapping", 5, "acme.op.default", "expected a function of a Program and an fx node, found 5"),
        ("mapping", len, "aten.conv2d.default", "'aten.conv2d.default' is one of bitwright's own"),
        ("mapping", len, "aten.silu.default", "bitwright has this function of one number"),
        ("onnx_op", 5, "com.acme.Op", "expected a function of a Call, found 5"),
        ("onnx_op", len, "Conv", "'Conv' is one of bitwright's own"),
        ("onnx_op", len, "Convolution", "has no such op; call one of another domain DOMAIN.OP"),
        ("onnx_op", len, None, "expected a name of letters"),
    ],
)
def test_what_is_none_of_the_kind_is_refused(kind: str, thing: object, name: str | None, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        register(kind, thing, name)
    if kind in TABLES:
        assert not table(kind)._added


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (pointwise(read=staticmethod(lambda option: Dither())), "whose bits depend on one pixel alone, found Dither"),
        (
            pointwise(of_levels=lambda self, levels: levels[..., None], read=staticmethod(lambda option: kinds[1]())),
            r"expected bits 0 and 1, uint8 \[256, 8\]",
        ),
        (
            pointwise(weights=(-1.0,) * 8, read=staticmethod(lambda option: kinds[2]())),
            r"expected a finite base and 1 to 255 weights above 0; found base .*, weights \(-1.0,",
        ),
    ],
)
def test_an_encoder_is_checked_when_it_is_read(kind: type[Pointwise], message: str) -> None:
    kinds[:] = [kind] * 3
    register("encoder", kind)
    with pytest.raises(PluginError, match=message):
        encoder("mine")


kinds: list[type[Pointwise]] = []


def test_a_foreign_encoder_is_data_from_then_on() -> None:
    register("encoder", pointwise())
    found, known = encoder("mine"), encoder("thermometer:3")
    assert str(found).startswith("levels:31.5:64.0,64.0,64.0:")
    assert str(found).endswith(":thermometer:3")
    np.testing.assert_array_equal(found.encode(IMAGES), known.encode(IMAGES))
    assert encoder(str(found)) == found
    assert bw.Preprocess(size=4, encoder="mine").encoder == str(found)


IMAGES = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)


def test_the_same_name_twice() -> None:
    """What is defined again takes its own place; another one does not."""
    register("range", Mine)
    again = Mine()
    register("range", again)
    assert RANGES["mine"] is again
    with pytest.raises(PluginError, match=r"the range 'mine' of .*test_register:Mine already, and .*:Other wants"):
        register("range", Other)


def test_a_table_lists_ours_first_and_knows_whose_a_thing_is() -> None:
    register("range", Mine)
    assert list(RANGES) == [*RANGES.ours, "mine"]
    assert len(RANGES) == len(RANGES.ours) + 1
    assert RANGES.origin("mse") is None
    origin = RANGES.origin("mine")
    assert origin is not None
    assert origin.to_json() == {"kind": "range", "name": "mine", "module": f"{__name__}:Mine"}


def test_the_narrowest_of_ours_carries_a_scheme() -> None:
    for lo, hi, weights, carrier in [
        (-1, 1, True, "ternary"),
        (0, 1, True, "bit"),
        (-2, 2, True, "int3"),
        (-4, 3, True, "int4"),
        (-127, 1, True, "int8"),
        (0, 1, False, "bit"),
        (0, 2, False, "uint2"),
        (0, 11, False, "uint4"),
        (0, 255, False, "uint8"),
    ]:
        scheme = carried(lo=lo, hi=hi, weights=weights, activations=not weights)()
        assert scheme.carrier.name == carrier
        assert scheme.bits == scheme.carrier.bits
        numbers = np.arange(lo, hi + 1).astype(scheme.dtype)
        np.testing.assert_array_equal(scheme.unpack(scheme.pack(numbers), numbers.size), numbers)
        assert scheme.pack(numbers).size == scheme.packed_bytes(numbers.size)


# --- entry points -----------------------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "broken_acme.py").write_text("import nothing_of_this_name")
    (tmp_path / "wrong_acme.py").write_text("class Wrong: name = 'wrong'\nname = 'mse'")
    for folder in (tmp_path, library):
        monkeypatch.syspath_prepend(folder)
    return tmp_path


def test_a_broken_plugin_is_named_and_stops_nobody_else(site: Path) -> None:
    install(site, {(kind, "broken"): f"broken_acme:{kind}" for kind in TABLES})
    for kind in TABLES:
        with pytest.raises(
            PluginError,
            match=rf"the {kind} 'broken' of acme-quant 1.2 cannot be loaded \(broken_acme:{kind}\): ModuleNotFoundError: "
            "No module named 'nothing_of_this_name'; mend it or uninstall it",
        ):
            table(kind)["broken"]
        assert "broken" in table(kind)
        assert "broken" not in table(kind).usable()
    with pytest.raises(RecipeError, match=r"known ranges: minmax, .*broken; did you mean 'mse'"):
        bw.prepare(None, preprocess=bw.Preprocess(size=4), recipe=Recipe(range="mze"))  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match=r"expected a scheme for weights, one of int8, .*; found 'int9'"):
        Recipe(weights="int9")
    with pytest.raises(PluginError, match=r"acme-quant 1\.2"):
        Recipe(weights="broken")
    with pytest.raises(
        SourceError, match=r"an image file\n.*\n  \(the source 'broken' of acme-quant 1.2 cannot be loaded"
    ):
        open_source("no:such:thing")
    np.savez(site / "two.npz", images=IMAGES)
    assert len(open_source(site / "two.npz")) == 2


def test_an_entry_point_with_a_name_of_ours_changes_nothing(site: Path) -> None:
    install(site, {("range", "mse"): "wrong_acme:Wrong", ("mapping", "aten.add.Tensor"): "wrong_acme:Wrong"})
    assert RANGES["mse"] is RANGES.ours["mse"]
    assert list(RANGES) == list(RANGES.ours)
    assert table("mapping")["aten.add.Tensor"] is table("mapping").ours["aten.add.Tensor"]


def test_an_entry_point_that_is_none_of_the_kind_names_its_distribution(site: Path) -> None:
    install(site, {("range", "wrong"): "wrong_acme:Wrong", ("scheme", "absent"): "wrong_acme:Absent"})
    with pytest.raises(PluginError, match=r"acme-quant 1.2: the range 'wrong': expected a .*Range, or a class of such"):
        RANGES["wrong"]
    with pytest.raises(PluginError, match=r"acme-quant 1.2 cannot be loaded \(wrong_acme:Absent\): AttributeError"):
        SCHEMES["absent"]


def test_two_distributions_with_one_name_are_both_named(site: Path) -> None:
    for name in ("acme-quant", "other-quant"):
        install(site, {("range", "most"): f"acme_quant:{THINGS['range', 'most']}"}, name)
    with pytest.raises(PluginError, match="both have a range 'most'; uninstall one of them") as error:
        RANGES["most"]
    assert "acme-quant" in str(error.value)
    assert "other-quant" in str(error.value)


def test_a_source_that_opens_something_else_is_named() -> None:
    kind = Kind("mine", "mine:", lambda spec: spec.startswith("mine:"), lambda spec: IMAGES)  # type: ignore[arg-type, return-value]
    register("source", kind)
    with pytest.raises(
        PluginError, match=r"(?s)the source 'mine' of .*<lambda> opened mine:5 as array.*expected an ImageSource"
    ):
        open_source("mine:5")
    register("source", replace(kind, looks_like="no longer"))
    with pytest.raises(SourceError, match="no longer"):
        open_source("else:5")
