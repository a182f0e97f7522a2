# SPDX-License-Identifier: GPL-2.0-or-later
"""For all tests. An example that takes long beside other load is no failure: pytest bounds the test."""

from hypothesis import settings

settings.register_profile("qgsd", parent=settings.default, deadline=None)
settings.load_profile("qgsd")
