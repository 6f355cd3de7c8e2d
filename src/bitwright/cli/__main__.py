"""`python -m bitwright.cli`, where the command `bitwright` is not on the path."""

import sys

from bitwright.cli.app import main

sys.exit(main())
