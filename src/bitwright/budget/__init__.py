"""Smallest or fastest within a budget of accuracy: how sensitive each layer is, and which widths to give it.

`drop.py` says how much accuracy was lost and how surely that is known; `sensitivities.py` measures each layer at each
width; `programme.py` chooses widths; `search.py` does it all and verifies it on images that nothing was fitted on.
"""
