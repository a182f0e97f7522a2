# SPDX-License-Identifier: GPL-2.0-or-later
"""The chaos suite uses the fixtures of the integration tests."""

from tests.integration.conftest import launch, projects, silent_database

__all__ = ["launch", "projects", "silent_database"]
