# SPDX-License-Identifier: GPL-2.0-or-later
"""The soak test uses the fixtures of the integration tests."""

from tests.integration.conftest import launch, projects

__all__ = ["launch", "projects"]
