"""What all tests share: pytester, for tests that run pytest; and what Hypothesis may do."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester"]

# How long an example takes says how busy the machine is, nothing about the code.
settings.register_profile("coordchaos", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("coordchaos")
