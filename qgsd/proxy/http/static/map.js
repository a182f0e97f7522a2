// SPDX-License-Identifier: GPL-2.0-or-later
// A map of one project: layers, extent and texts come from its WMS capabilities.
// Texts of the server are only ever set as textContent.
import { offerPrints } from "./print.js";
import { address, ask, capabilities, drawingOrder, isWorld, leaves } from "./wms.js";

const project = document.body.dataset.map;
const service = new URL("../ows/", document.baseURI).href;
const panel = document.getElementById("panel");
const narrow = window.matchMedia("(max-width: 40rem)");
// Half the width of the picture in which GetFeatureInfo looks, in pixels.
const AROUND = 50;

const wms = (parameters) => address(service, project, parameters);

function element(tag, text = "", properties = {}) {
  return Object.assign(document.createElement(tag), { textContent: text }, properties);
}

function say(text) {
  const message = document.getElementById("message");
  message.textContent = text;
  message.hidden = !text;
}

// The list of layers.

const boxes = new Map();
const shown = (layers) => layers.filter((layer) => boxes.get(layer).checked);

// A group's own box follows the boxes of its layers, and sets them all.
function showGroupStates(group) {
  const inner = leaves(group);
  group.layers.filter((layer) => layer.layers.length).forEach(showGroupStates);
  const box = boxes.get(group);
  if (!box) return;
  box.checked = inner.every((layer) => boxes.get(layer).checked);
  box.indeterminate = !box.checked && inner.some((layer) => boxes.get(layer).checked);
}

function listLayers(group, list, changed) {
  for (const layer of group.layers) {
    const inner = layer.layers.length ? leaves(layer) : [layer];
    if (!inner.length) continue;
    const box = element("input", "", { type: "checkbox", checked: true });
    boxes.set(layer, box);
    box.addEventListener("change", () => {
      for (const one of inner) boxes.get(one).checked = box.checked;
      changed();
    });
    const label = element("label");
    label.append(box, element("span", layer.title));
    const item = element("li");
    item.append(label);
    if (layer.layers.length) {
      label.className = "group";
      const nested = element("ul");
      listLayers(layer, nested, changed);
      item.append(nested);
    }
    list.append(item);
  }
}

function showLegend(layers) {
  const legend = document.getElementById("legend");
  legend.querySelector("div, p")?.remove();
  if (!legend.open) return;
  const names = drawingOrder(shown(layers));
  if (!names) {
    legend.append(element("p", "No layer is shown."));
    return;
  }
  const url = wms({ REQUEST: "GetLegendGraphic", LAYERS: names, FORMAT: "image/png", STYLES: "", TRANSPARENT: "TRUE" });
  const frame = element("div", "", { tabIndex: 0 });
  const image = element("img", "", { alt: "Legend of the layers shown", fetchPriority: "high" });
  image.onerror = () => frame.replaceWith(element("p", "There is no legend for these layers."));
  image.src = url;
  frame.append(image);
  legend.append(frame);
}

// What is at a place.

function describe(features, layers) {
  const titles = new Map(layers.map((layer) => [layer.name, layer.title]));
  const order = [...titles.keys()];
  // A feature's id is its layer's name, a point and its key; a raster's is the name alone.
  const named = features.map(({ id = "", properties }) =>
    ({ name: titles.has(id) ? id : String(id).replace(/\.[^.]*$/, ""), properties }));
  named.sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
  const content = element("div", "", { className: "info" });
  for (const { name, properties } of named) {
    const rows = Object.entries(properties ?? {}).filter(([, value]) => value !== null && value !== "");
    const table = element("table");
    table.append(element("caption", titles.get(name) ?? name));
    for (const [key, value] of rows) {
      const row = element("tr");
      const text = typeof value === "object" ? JSON.stringify(value) : String(value);
      row.append(element("th", key, { scope: "row" }), element("td", text));
      table.append(row);
    }
    content.append(table);
  }
  return content;
}

function readInfo(text, layers) {
  try {
    const { features } = JSON.parse(text);
    return features.length ? describe(features, layers) : element("p", "There is nothing here.");
  } catch {
    return element("pre", text.trim(), { className: "info" });
  }
}

async function askAt(map, place, layers) {
  const names = drawingOrder(layers);
  const middle = L.CRS.EPSG3857.project(place.wrap());
  const metresOfPixel = L.CRS.EPSG3857.project(L.latLng(0, 360)).x / L.CRS.EPSG3857.scale(map.getZoom());
  const side = (AROUND + 0.5) * metresOfPixel;
  const { text } = await ask(wms({
    REQUEST: "GetFeatureInfo", LAYERS: names, QUERY_LAYERS: names, STYLES: "", CRS: "EPSG:3857", FORMAT: "image/png",
    BBOX: [middle.x - side, middle.y - side, middle.x + side, middle.y + side].join(","),
    WIDTH: 2 * AROUND + 1, HEIGHT: 2 * AROUND + 1, I: AROUND, J: AROUND,
    INFO_FORMAT: "application/json", FEATURE_COUNT: 5,
    FI_POINT_TOLERANCE: 10, FI_LINE_TOLERANCE: 6, FI_POLYGON_TOLERANCE: 1,
  }));
  return readInfo(text, layers);
}

async function showInfo(map, place, layers) {
  const asked = shown(layers).filter((layer) => layer.queryable);
  if (!asked.length) return;
  // The popup moves the map until it lies beside the zoom buttons and the panel.
  const [topLeft, bottomRight] = narrow.matches ? [[12, 92], [12, 70]] : [[56, 12], [24 + panel.offsetWidth, 12]];
  const popup = L.popup({
    maxWidth: 320, maxHeight: 280, autoPanPaddingTopLeft: topLeft, autoPanPaddingBottomRight: bottomRight,
  }).setLatLng(place).setContent(element("p", "Looking …"));
  popup.openOn(map);
  const content = await askAt(map, place, asked).catch((error) => element("p", error.message));
  popup.setContent(content);
  // Long ones scroll, for which the keyboard needs a way in; and not everybody sees the popup open.
  popup.getElement()?.querySelector(".leaflet-popup-content").setAttribute("tabindex", "0");
  document.getElementById("told").textContent = content.innerText;
}

// The map.

function whole(map, box) {
  const [west, south, east, north] = box;
  const bounds = L.latLngBounds([south, west], [north, east]);
  const room = narrow.matches ? 0 : panel.offsetWidth;
  if (!isWorld(box)) {
    map.fitBounds(bounds, { paddingTopLeft: [12, 12], paddingBottomRight: [12 + room, 12], maxZoom: 17 });
    return;
  }
  // A world that fits altogether leaves most of a window empty; this fills about as much as it cuts.
  const { x, y } = map.getSize();
  map.setView(bounds.getCenter(), Math.max(0, Math.round(Math.log2(Math.sqrt(x * y) / 256))));
  map.panBy([room / 2, 0], { animate: false });
}

function makeTiles() {
  const tiles = L.tileLayer.wms(`${service}?MAP=${encodeURIComponent(project)}`, {
    layers: "", format: "image/png", transparent: true, version: "1.3.0", uppercase: true, tiled: true,
    maxZoom: 22,
  });
  // Sharp on screens with small pixels: the same 256 px of the page, drawn with more dots.
  const sharpness = Math.min(Math.ceil(window.devicePixelRatio || 1), 3);
  if (sharpness > 1) {
    const side = 256 * sharpness;
    tiles.setParams({ width: side, height: side, dpi: Math.round(90.7 * sharpness) }, true);
  }
  tiles.on("loading", () => say(""));
  tiles.on("load", () => document.body.setAttribute("data-drawn", "yes"));
  let asking = false;
  tiles.on("tileerror", async ({ tile }) => {
    if (asking) return;
    asking = true;
    // A picture that fails does not say why; the same request as a text does.
    await ask(tile.src).catch((error) => say(`Some of the map could not be drawn. ${error.message}`));
    asking = false;
  });
  return tiles;
}

// Leaflet's own control takes HTML, which the words of a server must not become.
function showCredits(map, layers) {
  const credits = [...new Set(layers.map((layer) => layer.credit).filter(Boolean))];
  const telling = credits.filter((one) => !credits.some((other) => other !== one && other.includes(one)));
  if (!telling.length) return;
  const control = L.control({ position: "bottomright" });
  control.onAdd = () => element("div", telling.join(" · "), { className: "leaflet-control-attribution" });
  control.addTo(map);
}

function show({ title, abstract, tree, box }) {
  document.title = title;
  document.getElementById("title").textContent = title;
  document.getElementById("abstract").textContent = abstract;
  panel.open = !narrow.matches;

  const layers = leaves(tree);
  const map = L.map("map", { worldCopyJump: true, attributionControl: false });
  L.control.scale().addTo(map);
  whole(map, box);
  showCredits(map, layers);
  const tiles = makeTiles();
  const drawn = () => drawingOrder(shown(layers));
  let follow = () => {};
  const redraw = () => {
    showGroupStates(tree);
    const names = drawn();
    if (names) tiles.setParams({ layers: names }, !map.hasLayer(tiles)).addTo(map);
    else tiles.remove();
    say("");
    showLegend(layers);
    follow();
  };
  const list = element("ul");
  listLayers(tree, list, redraw);
  document.getElementById("legend").hidden = false;
  document.getElementById("layers").append(list);
  document.getElementById("legend").addEventListener("toggle", () => showLegend(layers));
  map.on("click", ({ latlng }) => showInfo(map, latlng, layers));
  map.getContainer().addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target === map.getContainer()) showInfo(map, map.getCenter(), layers);
  });
  redraw();
  offerPrints(map, service, project, drawn).then((prints) => { follow = prints; });
}

capabilities(service, project).then(show).catch((error) => {
  panel.open = true;
  say(error.message);
});
