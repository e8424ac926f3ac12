"""One short script per DVC stage: read parameters and inputs, call `pipeline`, write outputs."""

import gc

import stages.determinism  # noqa: F401

# A quarter to a third of a stage's start went into looking for garbage among all that libraries define, which is none
# (perf/start.py); `common.run` leaves it out for good.
gc.set_threshold(100_000)
