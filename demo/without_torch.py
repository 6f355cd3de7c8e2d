"""Make `import torch` fail in this process, as on a machine that has no PyTorch."""

import importlib.abc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


class _Refuse(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.split(".")[0] == "torch":
            raise ModuleNotFoundError("torch is blocked in this process", name=fullname)
        return None


def block_torch() -> None:
    """From now on `import torch` raises ModuleNotFoundError; it must not have been imported before."""
    assert "torch" not in sys.modules
    sys.meta_path.insert(0, _Refuse())
