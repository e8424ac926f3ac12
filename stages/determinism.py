"""What outputs depend on besides inputs, code and parameters is fixed here: CPU features, threads, seeds, algorithms.

Every stage depends on this file. Importing `stages` imports it, before NumPy is there.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.params import Params

# NumPy's functions for AVX-512 end in other last bits than those for AVX2: without them the phantoms, and all tables,
# are the same bytes on every x86-64 CPU that has AVX2.
os.environ.setdefault("NPY_DISABLE_CPU_FEATURES", "X86_V4 AVX512_ICL AVX512_SPR")

# OpenMP threads that spin for long while they wait starve each other where the cores are shared (measured: 7 times
# slower training); with a short spin an idle machine loses nothing.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
# SciPy's threads starve torch's likewise (measured: 10 to 50 times slower fits of linear heads), and sums end in other
# last bits with another number of them, which is that of the machine's cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def fix_torch(params: "Params") -> None:
    """Make torch deterministic with the seed and threads of params.yaml."""
    deterministic_torch(params.seed, params.threads)


def deterministic_torch(seed: int, threads: int) -> None:
    """Make torch deterministic: seed, threads and algorithms."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_flush_denormal(
        True
    )  # before the threads start, as they inherit it: numbers near 0 may slow a step fivefold
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms imports the compiler for seconds
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # 7 % of a step; nothing reads such memory
