"""`python -m bitwright`: the command line, where the command `bitwright` is not on the path."""

import sys

from bitwright.cli import main

sys.exit(main())
