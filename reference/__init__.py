# SPDX-License-Identifier: GPL-2.0-or-later
"""Reference pages and manual pages, made of the declarations in the code; `scripts/docs` writes them."""
