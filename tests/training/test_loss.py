"""The loss of a batch: the student reads the pixels themselves, its teacher the same pixels normalised."""

import numpy as np
import torch
from torch import Tensor, nn

import bitwright as bw
from bitwright.prepared import PreparedModel
from bitwright.training import Options
from bitwright.training.augmentation import Mixed
from bitwright.training.loss import Loss
from bitwright.training.qat import prepare_qat
from bitwright.training.teacher import Teacher

PREPROCESS = bw.Preprocess(size=8, mean=0.5, std=0.25)
IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (8, *PREPROCESS.shape), np.uint8))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(216, 4)).eval()


def batch(images: Tensor) -> Mixed:
    labels = torch.arange(len(images)) % 4
    return Mixed(images, labels, labels, 1.0)


def student() -> PreparedModel:
    prepared = prepare_qat(network(), preprocess=PREPROCESS, recipe="w8a8", images=IMAGES.numpy()).train()
    for node in prepared.graph.nodes:
        prepared.layer(node.name).momentum = None  # or each pass in train mode would move the statistics
    return prepared


def test_the_student_reads_the_pixels_and_nothing_rounds_them_back() -> None:
    prepared, normalised = student(), list[Tensor]()
    prepared.register_forward_pre_hook(lambda module, inputs: normalised.append(inputs[0]))
    logits, loss = Loss(prepared, None, Options(), None)(batch(IMAGES))
    assert not normalised
    assert torch.equal(logits, prepared.forward_pixels(IMAGES))
    loss.backward()
    assert all(p.grad is not None for p in prepared.parameters() if p.dim() == 4)


def test_a_teacher_reads_the_same_pixels_normalised() -> None:
    model, seen = network(), list[Tensor]()
    teacher = Teacher(model, 4, PREPROCESS, torch.device("cpu"))
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    Loss(student(), None, Options(distill=0.5), teacher)(batch(IMAGES))
    torch.testing.assert_close(seen[0], torch.from_numpy(PREPROCESS.normalise(IMAGES.numpy())))
