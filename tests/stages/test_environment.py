"""What importing `stages` settles before NumPy is there, so that bytes depend neither on the CPU nor on its cores."""

import subprocess
import sys


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_numpy_does_without_avx512() -> None:
    features = "numpy._core._multiarray_umath.__cpu_features__"
    assert run(f"import stages, numpy; print({features}.get('X86_V4', False))") == "False"


def test_openblas_has_one_thread() -> None:
    pools = "import stages, numpy, scipy.linalg, threadpoolctl; print([p['num_threads'] for p in "
    found = run(pools + "threadpoolctl.threadpool_info() if p['internal_api'] == 'openblas'])")
    assert set(found) == set("[1, 1]")
