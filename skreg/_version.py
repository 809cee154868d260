"""The version, for those who need it before the package is imported, or as it is."""

from __future__ import annotations

__version__ = "0.1.0"
