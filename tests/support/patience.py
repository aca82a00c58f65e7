"""How long tests wait on a busy machine."""

from __future__ import annotations

PATIENCE = 120.0
"""Seconds in which whatever is awaited happens, however many others use the machine.

A wait ends when its condition is true, so a long deadline costs nothing unless a test fails.
"""
