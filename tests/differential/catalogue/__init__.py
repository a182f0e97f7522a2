# SPDX-License-Identifier: GPL-2.0-or-later
"""All requests of the comparison, in the order in which they are asked."""

from tests.differential.catalogue import coverages, features, forms, wfs, wms, writing

ASKS = [*wms.ASKS, *wfs.ASKS, *coverages.ASKS, *features.ASKS, *forms.ASKS, *writing.ASKS]
