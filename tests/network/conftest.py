# SPDX-License-Identifier: GPL-2.0-or-later
"""The network suite uses the projects of the integration tests."""

from tests.integration.conftest import projects

__all__ = ["projects"]
