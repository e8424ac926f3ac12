"""One short script per DVC stage: read parameters and inputs, call `pipeline`, write outputs."""

import os

# NumPy's functions for AVX-512 end in other last bits than those for AVX2: without them the phantoms, and all tables,
# are the same bytes on every x86-64 CPU that has AVX2.
os.environ.setdefault("NPY_DISABLE_CPU_FEATURES", "X86_V4 AVX512_ICL AVX512_SPR")

# OpenMP threads that spin for long while they wait starve each other where the cores are shared (measured: 7 times
# slower training); with a short spin an idle machine loses nothing.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
# SciPy's threads starve torch's likewise (measured: 10 to 50 times slower fits of linear heads), and sums end in other
# last bits with another number of them, which is that of the machine's cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
