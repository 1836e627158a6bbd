"""A suite to run first: `pytest --coordchaos --pyargs reference_systems.demo`."""
