"""A float network, then the same network in 4 bits, in a loop of your own by Accelerate; an artifact at the end.

pip install 'bitwright[torch,digits]' accelerate
python examples/training/with_accelerate.py digits.bw.safetensors
accelerate launch --num_processes 2 --cpu examples/training/with_accelerate.py digits.bw.safetensors
"""

import sys

import torch
from accelerate import Accelerator
from digits import PREPROCESS, TEST, TRAIN, batches, network
from torch import nn

import bitwright as bw


def fit(accelerator: Accelerator, net: nn.Module, lr: float, epochs: int) -> nn.Module:
    optimizer = torch.optim.AdamW(net.parameters(), lr)
    model, optimizer, loader = accelerator.prepare(net.train(), optimizer, batches(TRAIN))
    for _ in range(epochs):
        for images, labels in loader:
            loss = nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
    return accelerator.unwrap_model(model, keep_fp32_wrapper=False).eval()


def main(path: str, precision: str = "bf16") -> bw.Artifact:
    accelerator = Accelerator(cpu=True, mixed_precision=precision)
    net = fit(accelerator, network(), 3e-3, 6)
    images = bw.open_source(TRAIN)
    prepared = bw.prepare_qat(net, preprocess=PREPROCESS, recipe="w4a4", images=images)
    prepared = fit(accelerator, prepared, 3e-4, 3)
    artifact = bw.convert(prepared.cpu(), classes=images.classes)
    if accelerator.is_main_process:
        artifact.save(path)
        print(f"w4a4: {bw.evaluate(artifact, TEST).top1:.1f} %")
    return artifact


if __name__ == "__main__":
    main(sys.argv[1])
