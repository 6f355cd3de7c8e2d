"""The main job on an embedded default: `make demo`, or `python -m demo`."""
