# SPDX-License-Identifier: GPL-2.0-or-later
"""qgsd: QGIS Server as a supervised daemon."""

__version__ = "0.1.0.dev0"
