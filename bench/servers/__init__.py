# SPDX-License-Identifier: GPL-2.0-or-later
"""The servers that are compared."""

from bench.servers.fastcgi import FastCgi
from bench.servers.in_process import InProcess
from bench.servers.py_qgis_server import PyQgisServer
from bench.servers.qgsd import Qgsd, QgsdCompact

# In the order in which each round asks them.
known = {kind.name: kind for kind in (Qgsd, QgsdCompact, FastCgi, PyQgisServer, InProcess)}
