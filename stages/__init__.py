"""One short script per DVC stage: read parameters and inputs, call `pipeline`, write outputs."""

import os

# OpenMP threads that spin while they wait starve each other where the cores are shared: measured 8 times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
