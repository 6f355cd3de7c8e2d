"""Ray's workers have the processors to themselves here; elsewhere they yield to whatever else runs, and start late."""

import os

os.environ.setdefault("RAY_worker_niceness", "0")
