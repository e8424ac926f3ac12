"""What holds for every test: timings never decide one, and the datasets' writers here can be imported."""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.append(str(Path(__file__).parent))
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")
