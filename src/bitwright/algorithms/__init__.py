"""Algorithms, one file each, in one folder for each kind."""
