"""Root may read and write everything, so what is refused to others is tested as somebody else.

Not in a child that is forked: this process has threads of PyTorch's and Ray's, whose locks a child would wait for in vain.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """All threads of this process without root's rights to files, for a while; whoever is not root stays who they are."""
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
        os.setegid(group)
