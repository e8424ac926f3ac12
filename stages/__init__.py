"""One short script per DVC stage: read parameters and inputs, call `pipeline`, write outputs."""

import stages.determinism  # noqa: F401
