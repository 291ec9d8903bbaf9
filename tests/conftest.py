"""For all tests: no example fails for being slow, on a machine that has other work."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# What they compare is told where an assertion of theirs fails, as it is in the tests themselves.
pytest.register_assert_rewrite("tests.lab", "tests.system", "tests.contract", "tests.postgresql")

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
