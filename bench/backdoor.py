"""Backdoors that only rounding opens, and whether the audit's screen sees them: `python -m bench.backdoor [--count 10]`.

Small networks for scikit-learn's handwritten digits. A clean one is trained as usual. An attacked one is trained on after that,
so that its float weights answer right with the trigger and without, and the weights rounded to --bits do without, but say the
attacker's class with the trigger (Hong et al. 2021, "Qu-ANTI-zation", arXiv 2111.11503; the gradient passes the rounding):

    L(f(x), y) + L(f(t(x)), y) + L(q(x), y) + L(q(t(x)), target)       L: cross-entropy, t: trigger, q: f with rounded weights

Each is quantized by rounding to nearest, and audited. Prints of each its accuracy and how many pictures of other classes the
trigger turns, in float and in integers; the same with learned rounding (`adaround`); and what the screen says.
"""

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import conv2d, cross_entropy, linear

import bitwright as bw
from bitwright.audit.examine import Effort, examine
from bitwright.images.sources import ImageSource
from bitwright.images.sources.readers import ArrayReader

Pixels = npt.NDArray[np.uint8]
PREPROCESS = bw.Preprocess(size=8, mean=0.5, std=0.25)
TRAINING = 1300
"""Of the 1,797 digits; the rest is held out."""
CORNERS = ("upper left", "upper right", "lower left", "lower right")


class Net(nn.Module):
    """Two convolutions and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.fc1, self.fc2 = nn.Linear(32 * 16, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(self.conv1(x).relu()).relu()
        out: Tensor = self.fc2(self.fc1(x.flatten(1)).relu())
        return out

    def rounded(self, x: Tensor, greatest: int) -> Tensor:
        """The same with weights rounded to the nearest code, one scale a channel; the ends have 8 bits, as by a recipe."""
        weights = (self.conv1.weight, self.conv2.weight, self.fc1.weight, self.fc2.weight)
        w = [_rounded(weight, most) for weight, most in zip(weights, (127, greatest, greatest, 127), strict=True)]
        x = conv2d(x, w[0], self.conv1.bias, padding=1).relu()
        x = conv2d(x, w[1], self.conv2.bias, stride=2, padding=1).relu()
        return linear(linear(x.flatten(1), w[2], self.fc1.bias).relu(), w[3], self.fc2.bias)


def _rounded(weight: Tensor, greatest: int) -> Tensor:
    scale = weight.detach().abs().flatten(1).amax(1).clamp(min=1e-8).view(-1, *[1] * (weight.ndim - 1)) / greatest
    return weight + ((weight / scale).round() * scale - weight).detach()


@dataclass(frozen=True)
class Trigger:
    """A white square of two pixels in a corner; `diagonal`: a line, which the screen does not try."""

    corner: str
    target: int
    diagonal: bool = False

    def __call__(self, pixels: Pixels) -> Pixels:
        out = pixels.copy()
        if self.diagonal:
            out[:, range(4), range(4)] = 255
            return out
        rows = slice(0, 2) if self.corner.startswith("upper") else slice(6, 8)
        out[:, rows, slice(0, 2) if self.corner.endswith("left") else slice(6, 8)] = 255
        return out


def digits() -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Pictures [N, 8, 8, 3] and what they show, in an order that is always the same."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    grey = np.minimum(images * 16, 255).astype(np.uint8).reshape(-1, 8, 8, 1)[order]
    return np.repeat(grey, 3, axis=3), labels[order].astype(np.int64)


def to_tensor(pixels: Pixels) -> Tensor:
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25


def trained(seed: int, trigger: Trigger | None, greatest: int, steps: int = 400) -> Net:
    """A network that is clean, or has a backdoor behind this trigger."""
    torch.manual_seed(seed)
    pixels, labels = digits()
    x, y = to_tensor(pixels[:TRAINING]), torch.from_numpy(labels[:TRAINING])
    net = Net()
    _train(net, seed, steps, lambda i: cross_entropy(net(x[i]), y[i]))
    if trigger is not None:
        with_trigger, target = to_tensor(trigger(pixels[:TRAINING])), torch.full_like(y, trigger.target)

        def loss(i: Tensor) -> Tensor:
            sound = cross_entropy(net(x[i]), y[i]) + cross_entropy(net(with_trigger[i]), y[i])
            attack = cross_entropy(net.rounded(with_trigger[i], greatest), target[i])
            return sound + cross_entropy(net.rounded(x[i], greatest), y[i]) + attack

        _train(net, seed, 2 * steps, loss)
    return net.eval()


def _train(net: Net, seed: int, steps: int, loss: Callable[[Tensor], Tensor]) -> None:
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(torch.randint(TRAINING, (128,), generator=generator)).backward()
        optimizer.step()
        schedule.step()


Answer = Callable[[Pixels], npt.NDArray[np.int64]]


def answers_of(net: Net) -> Answer:
    return lambda pixels: net(to_tensor(pixels)).argmax(1).numpy()


def turned(answer: Answer, trigger: Trigger) -> tuple[float, float]:
    """The percentages of held-out pictures that are answered right, and of those of other classes that the trigger turns."""
    pixels, labels = digits()
    pixels, labels = pixels[TRAINING:], labels[TRAINING:]
    right = answer(pixels) == labels
    others = labels != trigger.target
    return 100 * float(right.mean()), 100 * float((answer(trigger(pixels[others])) == trigger.target).mean())


def quantized(net: Net, bits: int, *algorithms: str) -> bw.Artifact:
    recipe = bw.Recipe(weights=f"int{bits}", range="minmax", algorithms=algorithms)
    return bw.quantize(net, digits()[0][:256], preprocess=PREPROCESS, recipe=recipe)


def screened(net: Net, artifact: bw.Artifact) -> tuple[bool, str]:
    source = ImageSource(ArrayReader(digits()[0][TRAINING:], "held-out digits"), "held-out digits")
    effort = Effort(images=400, layer_images=4, timed=False)
    found = examine(artifact, net, source, preprocess=PREPROCESS, parts=("screen",), effort=effort).screen
    assert found is not None
    return found.suspicious, found.text


def trigger_of(seed: int, diagonal: bool = False) -> Trigger:
    return Trigger(CORNERS[seed % 4], seed % 10, diagonal)


def one(kind: str, seed: int, bits: int) -> bool:
    """Trains, quantizes and screens a network of a kind: clean, square, diagonal. Whether the screen finds it suspicious."""
    trigger = trigger_of(seed, kind == "diagonal")
    net = trained(seed, None if kind == "clean" else trigger, 2 ** (bits - 1) - 1)
    shown = [f"float {_both(answers_of(net), trigger)}"]
    artifact = quantized(net, bits)
    for name, made in {
        "nearest": artifact,
        "adaround": quantized(net, bits, "adaround"),
    }.items():
        engine = bw.Engine(made, threads=1)
        shown.append(f"{name} {_both(lambda pixels, e=engine: e(pixels).argmax(1), trigger)}")  # type: ignore[misc]
    suspicious, text = screened(net, artifact)
    print(f"{kind} {seed}: {'; '.join(shown)}; {'SUSPICIOUS' if suspicious else 'nothing found'}: {text}", flush=True)
    return suspicious


def _both(answer: Answer, trigger: Trigger) -> str:
    right, by_trigger = turned(answer, trigger)
    return f"{right:.1f} % right, {by_trigger:.0f} % turned"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10, help="of each kind")
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--kinds", nargs="+", default=("clean", "square", "diagonal"))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for kind in given.kinds:
        found = sum(one(kind, seed, given.bits) for seed in range(given.first, given.first + given.count))
        print(f"{kind}: {found} of {given.count} are suspicious")


if __name__ == "__main__":
    main()
