"""Sphinx configuration. Built with warnings as errors: `sphinx-build -W -b html docs OUT`."""

project = "pytest-coordchaos"
author = "The pytest-coordchaos authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
html_theme = "alabaster"
exclude_patterns = ["_build"]
nitpicky = False  # autodoc meets names of the standard library that have no page here
autodoc_typehints = "description"
