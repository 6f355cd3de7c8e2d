"""A float network, then the same network in 4 bits, both trained by Lightning; an artifact at the end.

pip install 'bitwright[torch,digits]' lightning
python examples/training/with_lightning.py digits.bw.safetensors
"""

import sys

import lightning
import torch
from digits import PREPROCESS, TEST, TRAIN, batches, network
from torch import nn

import bitwright as bw


class Classifies(lightning.LightningModule):
    def __init__(self, net: nn.Module, lr: float) -> None:
        super().__init__()
        self.net, self.lr = net, lr

    def training_step(self, batch, _index):
        images, labels = batch
        return nn.functional.cross_entropy(self.net(images), labels)

    def validation_step(self, batch, _index):
        images, labels = batch  # a prepared model in eval mode, which Lightning sets, computes in integers
        self.log("accuracy", (self.net(images).argmax(1) == labels).float().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), self.lr)


def fit(net: nn.Module, lr: float, epochs: int, precision: str) -> float:
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = lightning.Trainer(max_epochs=epochs, precision=precision, accelerator="cpu", **quiet)
    trainer.fit(Classifies(net, lr), batches(TRAIN), batches(TEST))
    return float(trainer.callback_metrics["accuracy"])


def main(path: str, precision: str = "bf16-mixed") -> bw.Artifact:
    net = network()
    print(f"float: {fit(net, 3e-3, 6, precision):.3f}")
    images = bw.open_source(TRAIN)
    # .train(), for Lightning leaves a module in the mode that it finds it in
    prepared = bw.prepare_qat(net.eval(), preprocess=PREPROCESS, recipe="w4a4", images=images).train()
    print(f"w4a4: {fit(prepared, 3e-4, 3, precision):.3f}")
    artifact = bw.convert(prepared.eval(), classes=images.classes)
    artifact.save(path)
    return artifact


if __name__ == "__main__":
    main(sys.argv[1])
