# SPDX-License-Identifier: GPL-2.0-or-later
"""For `scripts/release`: adds the JavaScript that qgsd carries to the bill of materials."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

# The file, what its head says of itself, and its licence.
BUNDLED = {
    "leaflet": ("qgsd/proxy/http/static/leaflet/leaflet.js", r"Leaflet (\S+),", "BSD-2-Clause"),
    "uplot": ("qgsd/admin/static/uplot/uplot.js", r"uPlot \(v([^)]+)\)", "MIT"),
}


def component(name: str, file: str, version: str, licence: str) -> dict[str, Any]:
    """A bundled library as CycloneDX has it. Raises ValueError when its file does not say its version."""
    content = Path(file).read_bytes()
    found = re.search(version, content[:400].decode())
    if not found:
        raise ValueError(f"{file} does not tell its version in its first lines")
    return {
        "bom-ref": f"bundled:{name}",
        "type": "library",
        "name": name,
        "version": found[1],
        "purl": f"pkg:npm/{name}@{found[1]}",
        "licenses": [{"license": {"id": licence}}],
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}],
    }


def main(found: str, wheel: str) -> None:
    bill = json.loads(Path(found).read_text())
    added = [component(name, *about) for name, about in BUNDLED.items()]
    bill["components"] += added
    root = bill["metadata"]["component"]["bom-ref"]
    (own,) = [one for one in bill["dependencies"] if one["ref"] == root]
    own["dependsOn"] = sorted([*own.get("dependsOn", []), *(one["bom-ref"] for one in added)])
    bill["dependencies"] += [{"ref": one["bom-ref"]} for one in added]
    text = json.dumps(bill, indent=1, sort_keys=True) + "\n"
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.exit(f"the bill of materials is no CycloneDX: {error}")
    version = Path(wheel).name.split("-")[1]
    place = Path(wheel).with_name(f"qgsd-{version}.cdx.json")
    place.write_text(text)
    print(f"{place.name}: {len(bill['components'])} components")


if __name__ == "__main__":
    main(*sys.argv[1:])
