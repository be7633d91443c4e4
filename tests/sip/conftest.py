"""Settings of the SIP tests."""

from hypothesis import settings

# A machine that is busy with other tests is slow, not wrong.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
