"""What all tests share: pytester, for tests that run pytest; and what Hypothesis may do.

pytest loads this file for the README's demo too, in an environment without the test extras.
"""

from __future__ import annotations

try:
    from hypothesis import HealthCheck, settings
except ImportError:
    pass
else:
    # How long an example takes says how busy the machine is, nothing about the code.
    settings.register_profile("coordchaos", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("coordchaos")

pytest_plugins = ["pytester"]
