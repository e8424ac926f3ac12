"""One short script per DVC stage: read parameters and inputs, call `pipeline`, write outputs."""

import gc

import stages.determinism  # noqa: F401

# A third of a stage's start went into looking for garbage among the million objects that libraries define, which make
# none; `common.run` leaves these out for good.
gc.set_threshold(100_000)
