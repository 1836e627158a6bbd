"""pytest-coordchaos."""
