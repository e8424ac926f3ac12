"""Lets the tests here import image_files, which writes files of every kind."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
