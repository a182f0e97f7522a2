// SPDX-License-Identifier: GPL-2.0-or-later
// A map of one project: layers, extent and texts come from its WMS capabilities.
"use strict";

const project = document.body.dataset.map;
const service = new URL("../ows/", document.baseURI);

function address(parameters) {
  const query = new URLSearchParams({ MAP: project, SERVICE: "WMS", VERSION: "1.3.0", ...parameters });
  return `${service.href}?${query}`;
}

function say(text) {
  const message = document.getElementById("message");
  message.textContent = text;
  message.hidden = !text;
}

async function fetchXml(url) {
  const answer = await fetch(url);
  const xml = new DOMParser().parseFromString(await answer.text(), "text/xml");
  const problem = xml.querySelector("ServiceException");
  if (problem) throw new Error(problem.textContent.trim());
  if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
  return xml;
}

const childText = (element, name) =>
  [...element.children].find((child) => child.localName === name)?.textContent.trim() ?? "";
const children = (element, name) => [...element.children].filter((child) => child.localName === name);

// Leaves of the layer tree, topmost first, as the capabilities list them.
function leaves(layer) {
  const inner = children(layer, "Layer");
  if (inner.length) return inner.flatMap(leaves);
  const name = childText(layer, "Name");
  return name ? [{ name, title: childText(layer, "Title") || name, queryable: layer.getAttribute("queryable") === "1" }] : [];
}

function extentOf(root) {
  const box = root.getElementsByTagNameNS("*", "EX_GeographicBoundingBox")[0];
  if (!box) return L.latLngBounds([-60, -180], [75, 180]);
  const side = (name) => Number(childText(box, name));
  const mercator = (latitude) => Math.max(-85, Math.min(85, latitude));
  return L.latLngBounds(
    [mercator(side("southBoundLatitude")), side("westBoundLongitude")],
    [mercator(side("northBoundLatitude")), side("eastBoundLongitude")],
  );
}

function shownLayers() {
  const boxes = document.querySelectorAll("#layers input:checked");
  // WMS draws the first name at the bottom.
  return [...boxes].map((box) => box.value).reverse();
}

function listLayers(layers, changed) {
  const list = document.getElementById("layers");
  for (const layer of layers) {
    const box = Object.assign(document.createElement("input"), { type: "checkbox", value: layer.name, checked: true });
    box.addEventListener("change", changed);
    const label = document.createElement("label");
    label.append(box, layer.title);
    list.append(label);
  }
}

function showLegend() {
  const legend = document.getElementById("legend");
  legend.querySelector("img")?.remove();
  const names = shownLayers().reverse();
  if (!legend.open || !names.length) return;
  const url = address({ REQUEST: "GetLegendGraphic", LAYERS: names.join(","), FORMAT: "image/png", STYLES: "" });
  legend.append(Object.assign(new Image(), { src: url, alt: "Legend of the layers shown" }));
}

function describe(features) {
  const list = document.createElement("dl");
  list.className = "info";
  for (const feature of features) {
    const entries = Object.entries(feature.properties ?? {}).filter(([, value]) => value !== null && value !== "");
    const term = document.createElement("dt");
    term.textContent = String(feature.id ?? "Feature").split(".")[0];
    list.append(term);
    for (const [name, value] of entries) {
      const line = document.createElement("dd");
      line.textContent = `${name}: ${value}`;
      list.append(line);
    }
  }
  return list;
}

async function showInfo(map, event, queryable) {
  const names = shownLayers().filter((name) => queryable.has(name));
  if (!names.length) return;
  const size = map.getSize();
  const project3857 = (corner) => L.CRS.EPSG3857.project(corner);
  const bounds = map.getBounds();
  const [low, high] = [project3857(bounds.getSouthWest()), project3857(bounds.getNorthEast())];
  const answer = await fetch(address({
    REQUEST: "GetFeatureInfo", LAYERS: names.join(","), QUERY_LAYERS: names.join(","), STYLES: "", CRS: "EPSG:3857",
    BBOX: [low.x, low.y, high.x, high.y].join(","), WIDTH: size.x, HEIGHT: size.y, FORMAT: "image/png",
    I: Math.round(event.containerPoint.x), J: Math.round(event.containerPoint.y),
    INFO_FORMAT: "application/json", FEATURE_COUNT: 5,
    FI_POINT_TOLERANCE: 8, FI_LINE_TOLERANCE: 6, FI_POLYGON_TOLERANCE: 2,
  }));
  if (!answer.ok) return;
  const { features = [] } = await answer.json();
  if (features.length) L.popup().setLatLng(event.latlng).setContent(describe(features)).openOn(map);
}

function show(capabilities) {
  const text = capabilities.getElementsByTagNameNS("*", "Service")[0];
  const root = children(capabilities.getElementsByTagNameNS("*", "Capability")[0], "Layer")[0];
  const title = childText(text, "Title") || project;
  document.title = title;
  document.getElementById("title").textContent = title;
  document.getElementById("abstract").textContent = childText(text, "Abstract");

  const layers = leaves(root);
  const map = L.map("map", { worldCopyJump: true }).fitBounds(extentOf(root));
  map.attributionControl.setPrefix(false);
  L.control.scale().addTo(map);
  const tiles = L.tileLayer.wms(`${service.href}?MAP=${encodeURIComponent(project)}`, {
    layers: "", format: "image/png", transparent: true, version: "1.3.0", uppercase: true,
  });
  tiles.on("tileerror", () => say("Some of the map could not be drawn."));
  tiles.on("load", () => document.body.setAttribute("data-drawn", "yes"));
  const redraw = () => {
    say("");
    const names = shownLayers();
    if (names.length) { tiles.setParams({ layers: names.join(",") }, !map.hasLayer(tiles)); tiles.addTo(map); } else tiles.remove();
    showLegend();
  };
  listLayers(layers, redraw);
  document.getElementById("legend").addEventListener("toggle", showLegend);
  if (window.matchMedia("(max-width: 40rem)").matches) document.getElementById("panel").open = false;
  const queryable = new Set(layers.filter((layer) => layer.queryable).map((layer) => layer.name));
  map.on("click", (event) => showInfo(map, event, queryable).catch(() => say("No information could be had here.")));
  redraw();
}

fetchXml(address({ REQUEST: "GetCapabilities" })).then(show).catch((error) => say(error.message));
