// SPDX-License-Identifier: GPL-2.0-or-later
// Links that print what the map shows, one for each print layout of the project; nothing where it has none.
import { address, ask, parse } from "./wms.js";

// Layouts, each with the names of its maps; an empty list also where the server will not tell.
async function layouts(service, project) {
  const { text } = await ask(address(service, project, { REQUEST: "GetProjectSettings" })).catch(() => ({ text: "" }));
  return [...parse(text).getElementsByTagNameNS("*", "ComposerTemplate")].map((template) => ({
    name: template.getAttribute("name"),
    maps: [...template.getElementsByTagNameNS("*", "ComposerMap")].map((map) => map.getAttribute("name")),
  })).filter(({ maps }) => maps.length);
}

// The address of a print as PDF. QGIS leaves out a map that it is given no extent for, and keeps its shape.
function print(service, project, { name, maps }, names, extent) {
  const extents = maps.map((map) => [`${map}:EXTENT`, extent.join(",")]);
  return address(service, project, {
    REQUEST: "GetPrint", TEMPLATE: name, CRS: "EPSG:3857", FORMAT: "application/pdf", LAYERS: names, STYLES: "",
    ...Object.fromEntries(extents),
  });
}

// `drawn` tells the names of the layers that are shown, as WMS has them; the links follow the map.
export async function offerPrints(map, service, project, drawn) {
  const offered = await layouts(service, project);
  const links = offered.map((layout) => {
    const link = Object.assign(document.createElement("a"), {
      textContent: `${layout.name} (PDF)`, target: "_blank", rel: "noopener",
    });
    return { layout, link };
  });
  const place = document.getElementById("print");
  for (const { link } of links) {
    const item = document.createElement("li");
    item.append(link);
    place.querySelector("ul").append(item);
  }
  const follow = () => {
    const names = drawn();
    const corners = [map.getBounds().getSouthWest(), map.getBounds().getNorthEast()];
    const extent = corners.map((corner) => L.CRS.EPSG3857.project(corner)).flatMap(({ x, y }) => [x, y]);
    for (const { layout, link } of links) link.href = print(service, project, layout, names, extent);
    place.hidden = !links.length || !names;
  };
  map.on("moveend", follow);
  follow();
  return follow;
}
