"""Runs pytest on another build of the extension: `scripts/with_extension.py build/address/_native...so [arguments]`."""

import importlib.util
import sys

import pytest


def main() -> int:
    path, *arguments = sys.argv[1:]
    spec = importlib.util.spec_from_file_location("bitwright._native", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["bitwright._native"] = module
    import bitwright

    bitwright._native = module  # type: ignore[attr-defined]
    return int(pytest.main(arguments))


if __name__ == "__main__":
    sys.exit(main())
