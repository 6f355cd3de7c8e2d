"""torchvision, and the command line, where its compiled operators don't load: declares the two that its import asks for."""

import importlib

import torch

from bitwright.cli import main

try:
    torchvision = importlib.import_module("torchvision")
except RuntimeError:
    LIBRARY = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        LIBRARY.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    torchvision = importlib.import_module("torchvision")

if __name__ == "__main__":
    main()
