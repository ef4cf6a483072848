"""mortcond: small, fast and honestly measured networks for in-hospital mortality in intensive care."""

__version__ = "0.1.0"
