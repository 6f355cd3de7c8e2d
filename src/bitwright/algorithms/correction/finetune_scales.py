"""`finetune_scales`: learn every scale and correction of the network together, codes of weights as they are.

    minimise  KL(softmax(float logits) || softmax(logits)) + mean (logits - float logits)**2 / signal
The scale of a channel's weights is multiplied by a gain, which leaves its codes; scales of activations have LSQ's gradient. The
float model is the teacher, so no labels are needed. Where the logits of JUDGED images are no nearer to its own for it, as may
happen at 8 bits, everything is left as it was.
Esser et al. 2020, "Learned Step Size Quantization"; Finkelstein et al. 2022, "QFT: Post-training quantization via fast joint
finetuning of all degrees of freedom".
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.algorithms.correction.calibration import Calibration
from bitwright.algorithms.correction.correction import Correction
from bitwright.algorithms.correction.learning import (
    restore,
    run_nodes,
    run_with,
    shared_parameters,
    state_of,
    weighted,
)
from bitwright.algorithms.correction.path import Path
from bitwright.prepared import PreparedModel
from bitwright.prepared.class_logits import class_logits
from bitwright.prepared.layer import Layer

STEPS = 200
BATCH = 16
RATE = 0.001
JUDGED = 128


class FinetuneScales(Correction):
    name = "finetune_scales"
    most_images = 1024

    def apply(self, prepared: PreparedModel, calibration: Calibration) -> None:
        nodes = prepared.graph.nodes
        teacher = Path(prepared, calibration, self.most_images, quantized=False)
        teacher.compute(nodes)
        before, error = state_of(prepared, nodes), _error(prepared, calibration, teacher)
        gains = {layer.node.name: Gain(layer) for layer in weighted(prepared, nodes)}
        generator, image, output = calibration.generator(), prepared.graph.input, prepared.graph.output
        signal = teacher.read(output, slice(0, teacher.count)).var().item() + 1e-12
        with shared_parameters(prepared, nodes, RATE) as groups:
            learned = [{"params": [gain.log for gain in gains.values()], "lr": RATE}, *groups]
            optimizer = torch.optim.Adam(learned)
            rates = [group["lr"] for group in optimizer.param_groups]
            for step in range(STEPS):
                done = calibration.span.progress(step / STEPS)
                if done >= 1:
                    break
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * (1 - done)
                rows = torch.randint(teacher.count, (min(BATCH, teacher.count),), generator=generator)
                logits = run_nodes(prepared, nodes, {image: teacher.read(image, rows)}, gains)
                wanted = teacher.read(output, rows)
                found, target = class_logits(logits).log_softmax(1), class_logits(wanted).log_softmax(1)
                apart = F.kl_div(found, target, log_target=True, reduction="batchmean")
                loss = apart + F.mse_loss(logits, wanted) / signal
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                calibration.progress((step + 1) / STEPS)
        for gain in gains.values():
            gain.settle()
        if not _error(prepared, calibration, teacher) < error:
            restore(prepared, nodes, before)
        teacher.drop(nodes)


@torch.no_grad()
def _error(prepared: PreparedModel, calibration: Calibration, teacher: Path) -> float:
    """The squared error of the logits, with everything rounded."""
    path, output = Path(prepared, calibration, JUDGED, quantized=True), prepared.graph.output
    path.compute(prepared.graph.nodes)
    return sum(
        F.mse_loss(path.read(output, rows), teacher.read(output, rows), reduction="sum").item() for rows in path.rows
    )


class Gain:
    """A layer whose weight's scales are multiplied by exp(log), its codes left."""

    def __init__(self, layer: Layer) -> None:
        assert layer.quantizer is not None
        self.layer, self.quantizer = layer, layer.quantizer
        self.codes = layer.codes()
        self.weight = self.codes * self.quantizer.step(self.codes)
        self.log = torch.zeros(len(self.codes), requires_grad=True)

    def __call__(self, xs: list[Tensor]) -> Tensor:
        column = (-1,) + (1,) * (self.weight.dim() - 1)
        return run_with(self.layer, self.weight * self.log.exp().reshape(column), xs)

    @torch.no_grad()
    def settle(self) -> None:
        """Give the layer the scales that were learned."""
        self.quantizer.scale.mul_(self.log.exp())
        self.layer.set_codes(self.codes)
