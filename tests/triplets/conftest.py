"""Lets the tests here import tiny_radgraph, which perf uses too."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
