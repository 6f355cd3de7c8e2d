"""Checkpoints: what loads, what doesn't fit, and what is never unpickled."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bitwright.errors import ModelError
from bitwright.models.weights import load_weights, read_state_dicts, strip_prefixes


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))


@pytest.fixture
def state() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return net().state_dict()


def loaded(path: Path) -> dict[str, Tensor]:
    model = net()
    load_weights(model, path, "the model")
    return model.state_dict()


def expect_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize(
    "prefix", ["", "module.", "_orig_mod.", "model.", "backbone.", "module._orig_mod.", "model.model."]
)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".bin"])
def test_weights_load_under_the_usual_prefixes(suffix: str, prefix: str, state: dict[str, Tensor], tmp_path: Path):
    path = tmp_path / f"w{suffix}"
    renamed = {prefix + name: value for name, value in state.items()}
    save_file(renamed, path) if suffix == ".safetensors" else torch.save(renamed, path)
    expect_equal(loaded(path), state)


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict"])
def test_a_state_dict_is_found_inside_a_checkpoint(key: str, state: dict[str, Tensor], tmp_path: Path):
    torch.save({"epoch": 3, key: {f"module.{name}": value for name, value in state.items()}}, tmp_path / "w.pth")
    expect_equal(loaded(tmp_path / "w.pth"), state)


@pytest.mark.parametrize("suffix", [".ckpt", ".pth.tar", "", ".safetensors", ".pt"])
@pytest.mark.parametrize("safe", [False, True])
def test_the_content_says_what_a_file_is(safe: bool, suffix: str, state: dict[str, Tensor], tmp_path: Path):
    path = tmp_path / f"w{suffix}"
    save_file(state, path) if safe else torch.save({"state_dict": state, "epoch": 3, "best": 0.5}, path)
    expect_equal(loaded(path), state)


def test_a_lightning_checkpoint(state: dict[str, Tensor], tmp_path: Path):
    """The network under `model.`, a metric and the weights of a loss beside it, and everything else that Lightning keeps."""
    names = {f"model.{name}": value for name, value in state.items()}
    checkpoint = {
        "epoch": 9,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": {**names, "steps": torch.tensor(7)},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}],
        "hyper_parameters": {"width": 4, "name": "net"},
        "callbacks": {"ModelCheckpoint{'monitor': 'acc'}": {"best_model_score": torch.tensor(0.9), "dirpath": "/tmp"}},
    }
    torch.save(checkpoint, tmp_path / "last.ckpt")
    expect_equal(loaded(tmp_path / "last.ckpt"), state)


@pytest.mark.parametrize("prefix", ["ema_model.module.", "encoder.net.", "student._orig_mod."])
def test_any_prefix_is_taken_off(prefix: str, state: dict[str, Tensor], tmp_path: Path):
    save_file({prefix + name: value for name, value in state.items()}, tmp_path / "w")
    expect_equal(loaded(tmp_path / "w"), state)


@pytest.mark.parametrize("average", ["model_ema.", "ema_model.module.", "averaged_model.", "swa."])
def test_a_moving_average_beside_the_model_is_left_out(average: str, state: dict[str, Tensor], tmp_path: Path):
    averages = {average + name: torch.zeros_like(value) for name, value in state.items()}
    names = {f"model.{name}": value for name, value in state.items()}
    save_file({**averages, **names, "n_averaged": torch.tensor(3)}, tmp_path / "w")
    expect_equal(loaded(tmp_path / "w"), state)


def test_an_averaged_model_keeps_a_count_beside_its_module(state: dict[str, Tensor], tmp_path: Path):
    torch.save(torch.optim.swa_utils.AveragedModel(net()).state_dict() | {}, tmp_path / "w.pth")
    assert loaded(tmp_path / "w.pth").keys() == state.keys()


def test_a_compiled_part_of_a_model(state: dict[str, Tensor], tmp_path: Path):
    save_file({name.replace("0.", "0._orig_mod.", 1): value for name, value in state.items()}, tmp_path / "w")
    expect_equal(loaded(tmp_path / "w"), state)


def test_weights_under_any_name_of_a_checkpoint(state: dict[str, Tensor], tmp_path: Path):
    """The one that fits is taken, wherever it is."""
    torch.save({"epoch": 1, "critic": {"a": torch.zeros(1)}, "nets": {"generator": state}}, tmp_path / "w.pth")
    expect_equal(loaded(tmp_path / "w.pth"), state)


def test_what_else_is_under_a_prefix_or_beside_it_is_listed(state: dict[str, Tensor], tmp_path: Path):
    names = {f"model.{name}": value for name, value in state.items()}
    save_file({**names, "criterion.weight": torch.ones(2)}, tmp_path / "w")
    with pytest.raises(ModelError, match=r"does not fit the model: 1 unexpected \(criterion.weight\)$"):
        loaded(tmp_path / "w")
    del names["model.2.bias"]
    save_file(names, tmp_path / "w")
    with pytest.raises(ModelError, match=r"does not fit the model: 1 missing \(2.bias\)$"):
        loaded(tmp_path / "w")


def test_a_file_that_is_no_checkpoint_is_told_by_its_first_bytes(tmp_path: Path):
    (tmp_path / "w.pth").write_bytes(b"\x89HDF\r\n\x1a\n and more")
    with pytest.raises(ModelError, match=r"found a file that begins with b'\\x89HDF"):
        read_state_dicts(tmp_path / "w.pth")


def test_a_prefix_that_the_model_has_too_stays():
    own = ["model.a", "model.b"]
    tensor = torch.zeros(1)
    assert list(strip_prefixes({"model.a": tensor, "model.b": tensor}, own)) == own
    assert list(strip_prefixes({"module.model.a": tensor, "module.model.b": tensor}, own)) == own
    assert list(strip_prefixes({"module.a": tensor, "b": tensor}, ["a", "b"])) == ["module.a", "b"]


def test_half_precision_becomes_float32(state: dict[str, Tensor], tmp_path: Path):
    torch.save(
        {name: value.half() if value.is_floating_point() else value for name, value in state.items()},
        tmp_path / "w.pth",
    )
    found = loaded(tmp_path / "w.pth")
    assert found["0.weight"].dtype == torch.float32
    assert torch.equal(found["0.weight"], state["0.weight"].half().float())


def test_the_counters_of_batch_norms_may_be_missing(state: dict[str, Tensor], tmp_path: Path):
    del state["1.num_batches_tracked"]
    save_file(state, tmp_path / "w.safetensors")
    assert torch.equal(loaded(tmp_path / "w.safetensors")["0.bias"], state["0.bias"])


def test_heads_for_training_alone_are_passed_over(state: dict[str, Tensor], tmp_path: Path):
    save_file({**state, "aux1.fc.weight": torch.zeros(1)}, tmp_path / "w.safetensors")
    expect_equal(loaded(tmp_path / "w.safetensors"), state)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"2.bias": None}, "1 missing (2.bias)"),
        (
            {"0.weight": None, "0.bias": None, "1.weight": None, "1.bias": None, "2.weight": None},
            "5 missing (0.weight, 0.bias, 1.weight, 1.bias, ...)",
        ),
        ({"3.weight": torch.zeros(1), "3.bias": torch.zeros(1)}, "2 unexpected (3.bias, 3.weight)"),
        ({"2.weight": torch.zeros(5, 4)}, "1 of another shape (2.weight: expected [2, 4], found [5, 4])"),
        (
            {"2.bias": None, "head.bias": torch.zeros(2), "0.bias": torch.zeros(1)},
            "1 missing (2.bias); 1 unexpected (head.bias); 1 of another shape (0.bias: expected [4], found [1])",
        ),
    ],
)
def test_what_does_not_fit_is_listed(changes: dict, problem: str, state: dict[str, Tensor], tmp_path: Path):
    changed = {name: value for name, value in {**state, **changes}.items() if value is not None}
    path = tmp_path / "w.safetensors"
    save_file(changed, path)
    with pytest.raises(ModelError) as caught:
        loaded(path)
    assert str(caught.value) == f"{path} does not fit the model: {problem}"


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_runs_code_is_refused_before_it_does(legacy: bool, tmp_path: Path):
    path, trace = tmp_path / "w.pth", tmp_path / "it-ran"
    torch.save({"0.weight": Evil(trace)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ModelError, match="refused, because it holds something else than tensors"):
        read_state_dicts(path)
    path.write_bytes(pickle.dumps(Evil(trace), protocol=2))
    with pytest.raises(ModelError, match="refused, because it holds something else than tensors"):
        read_state_dicts(path)
    assert not trace.exists()


def test_a_pickled_module_is_refused(tmp_path: Path):
    torch.save(net(), tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"save model.state_dict\(\) alone, best with safetensors"):
        read_state_dicts(tmp_path / "w.pth")


def test_other_things_than_tensors_are_named(tmp_path: Path):
    path = tmp_path / "w.pth"
    torch.save({"epoch": 3, "weights": {}}, path)
    with pytest.raises(ModelError, match=r"found other things than tensors: epoch, weights$"):
        read_state_dicts(path)
    torch.save([torch.zeros(1)], path)
    with pytest.raises(ModelError, match=r"expected a state dict, found list$"):
        read_state_dicts(path)


def test_files_that_cannot_be_read(tmp_path: Path):
    for name, reason in (
        ("missing.pth", "^cannot read .*missing.pth: No such file or directory$"),
        ("missing.safetensors", "^cannot read .*missing.safetensors: No such file or directory"),
        ("w.h5", "^cannot read .*w.h5: No such file or directory$"),
    ):
        with pytest.raises(ModelError, match=reason):
            read_state_dicts(tmp_path / name)
    for name in ("damaged.safetensors", "damaged.pth", "empty.safetensors", "empty.pth", "cut.pth"):
        path = tmp_path / name
        torch.save({"a": torch.zeros(1000)}, path)
        content = {"damaged": b"nothing of the kind", "empty": b"", "cut": path.read_bytes()[:2000]}[path.stem]
        path.write_bytes(content)
        with pytest.raises(ModelError, match=path.name):
            read_state_dicts(path)
