"""What holds for every test: timings never decide one, so hypothesis has no deadline."""

from hypothesis import settings

settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")
