"""Fixtures of the fault tests."""

from __future__ import annotations

import random

import pytest

from .schedule import SEED


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """The test's random choices. pytest shows the seed if the test fails."""
    print(f"ATHANOR_FAULT_SEED={SEED}")
    return random.Random(f"{SEED} {request.node.name}")
