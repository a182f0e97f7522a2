# SPDX-License-Identifier: GPL-2.0-or-later
"""A plugin that does not load; the others must not suffer."""


def serverClassFactory(server):  # type: ignore[no-untyped-def]
    raise RuntimeError("this plugin never loads")
