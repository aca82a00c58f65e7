"""Faults under load, from a seed: `schedule.py` has the settings that repeat or prolong a test."""
