"""The command line: `bitwright quantize`, `evaluate`, `classify`, `inspect` and `bench`, one file each. Parse, call, print.

What a command finds goes to stdout, as a table or (`--json`) as one JSON document; all else goes to stderr. Exit codes:
0; 1 where it ran and the answer is no, or it failed on the way; 2 for wrong usage (`exit_codes.py`); 130 after Ctrl-C.
torch is imported only by what needs it.
"""

from bitwright.cli.app import main

__all__ = ["main"]
