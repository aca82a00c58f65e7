"""The version, for the package and what it builds."""

__version__ = "0.1.0"
