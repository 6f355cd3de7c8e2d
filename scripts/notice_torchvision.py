"""Says so where torchvision is installed but does not load, which is easily overlooked: `make` runs it after it has installed.

A torchvision that was built for another PyTorch (another version, or one for CUDA beside one for CPUs) raises RuntimeError
when it is imported. Nothing here needs it but models of the name torchvision:NAME, so this is a remark and no failure.
"""

import importlib
import importlib.metadata
import sys
import warnings


def remark() -> str | None:
    """What is wrong with torchvision; None where it loads, or is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "torchvision":
            return None
        return _remark(error)
    except (ImportError, RuntimeError, OSError) as error:
        return _remark(error)
    return None


def _remark(error: Exception) -> str:
    found = " beside ".join(f"{name} {_version(name)}" for name in ("torchvision", "torch"))
    return (
        f"make: warning: torchvision is installed but does not load ({error}).\n"
        f"  found {found}: they were not built for each other, so models called torchvision:NAME cannot be made.\n"
        "  All else works. To mend it, install both from one index, such as\n"
        "  .venv/bin/python -m pip install --force-reinstall torch torchvision --index-url https://download.pytorch.org/whl/cpu"
    )


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "(no version)"


if __name__ == "__main__":
    if (said := remark()) is not None:
        print(said, file=sys.stderr)
