"""Lets the tests here import tiny_training, which is also run as a script."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
