"""What all tests share: pytester, for tests that run pytest; what Hypothesis may do; coroutine functions as tests.

pytest loads this file for the README's demo too, in an environment without the test extras.
"""

from __future__ import annotations

import asyncio
import inspect

import pytest

try:
    from hypothesis import HealthCheck, settings
except ImportError:
    pass
else:
    # How long an example takes says how busy the machine is, nothing about the code.
    settings.register_profile("coordchaos", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("coordchaos")

pytest_plugins = ["pytester"]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Tests that are coroutine functions run in a loop of their own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
