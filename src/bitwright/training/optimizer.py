"""How parameters move: the optimizer with its groups, and the moving average of what it finds."""

import torch
from torch import Tensor

from bitwright.prepared import PreparedModel
from bitwright.training.options import Options


def optimizer_of(prepared: PreparedModel, options: Options) -> torch.optim.Optimizer:
    """Weight decay for weights alone: tensors of two axes or more that are not scales.

    AdamW's steps are of the size of the learning rate, whatever the gradient's, and a scale is far smaller than a weight's
    spread: so each scale's own size (a group's `share`) multiplies its learning rate, which makes the steps relative.
    """
    named = [(name, p) for name, p in prepared.named_parameters() if p.requires_grad]
    decayed = [p for name, p in named if name.endswith(".weight") and p.dim() > 1]
    relative = [p for name, p in named if name.endswith(".scale") and options.optimizer == "adamw"]
    chosen = {id(p) for p in (*decayed, *relative)}
    spared = [p for _, p in named if id(p) not in chosen]
    groups = [{"params": decayed, "weight_decay": options.weight_decay, "share": 1.0}]
    groups += [{"params": spared, "weight_decay": 0.0, "share": 1.0}]
    groups += [
        {"params": [p], "weight_decay": 0.0, "share": min(1.0, float(p.detach().abs().mean()))} for p in relative
    ]
    if options.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=options.lr, fused=True)
    return torch.optim.SGD(groups, lr=options.lr, momentum=0.9, nesterov=True, fused=True)


@torch.no_grad()
def update_average(average: dict[str, Tensor], prepared: PreparedModel, decay: float) -> None:
    for name, parameter in prepared.named_parameters():
        if name in average:
            average[name].lerp_(parameter.detach(), 1 - decay)
        else:
            average[name] = parameter.detach().clone()
