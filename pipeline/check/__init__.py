"""Looks at the datasets below data.root before anything runs: what is there, what is odd, and whether it suffices.

`datasets` inspects one dataset through its reader, `images` decodes some or all of its images, `experiment` says
whether the configured experiment can run, and `printing` shows it. Nothing here names a patient or holds a report's
words.
"""

from pipeline.check.experiment import Examined, examine
from pipeline.check.printing import print_examined

__all__ = ["Examined", "examine", "print_examined"]
