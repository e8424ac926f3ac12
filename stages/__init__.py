"""One short script per DVC stage: read parameters and inputs, call `pipeline`, write outputs."""

import os

# OpenMP threads that spin for long while they wait starve each other where the cores are shared (measured: 7 times
# slower training); with a short spin an idle machine loses nothing.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
