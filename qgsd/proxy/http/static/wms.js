// SPDX-License-Identifier: GPL-2.0-or-later
// What both pages know of WMS: addresses, capabilities, exceptions in words, extents.

const EDGE = 20037508.342789244;

// A request to the OWS address of `project`; `service` is that address without a query.
export function address(service, project, parameters) {
  const query = new URLSearchParams({ MAP: project, SERVICE: "WMS", VERSION: "1.3.0", ...parameters });
  return `${service}?${query}`;
}

// An XML document; an empty one of what is none, for which browsers make a page with styles of its own.
export function parse(text) {
  return new DOMParser().parseFromString(/^\s*</.test(text) ? text : "<none/>", "text/xml");
}

// The words of a ServiceException, or of qgsd's errors in JSON, or "".
function complaint(text) {
  const xml = parse(text);
  const exception = xml.getElementsByTagNameNS("*", "ServiceException")[0];
  if (exception) return exception.textContent.trim();
  try {
    return JSON.parse(text).error?.message ?? "";
  } catch {
    return "";
  }
}

// The answer and its text; whatever the server has to complain of is thrown in its own words.
export async function ask(url) {
  let answer;
  try {
    // Who asks for words shall not wait behind the pictures that the browser has begun to load.
    answer = await fetch(url, { priority: "high" });
  } catch {
    throw new Error("The server cannot be reached.");
  }
  if (answer.ok && answer.headers.get("Content-Type")?.startsWith("image/")) return { answer, text: "" };
  const text = await answer.text();
  const problem = complaint(text);
  if (problem || !answer.ok) throw new Error(problem || `The server answered ${answer.status} ${answer.statusText}`);
  return { answer, text };
}

const children = (element, name) => [...element.children].filter((child) => child.localName === name);
const textOf = (element, name) => children(element, name)[0]?.textContent.trim() ?? "";

// The layer tree: groups have `layers`, topmost first as the capabilities list them.
function readLayer(element) {
  const name = textOf(element, "Name");
  return {
    name,
    title: textOf(element, "Title") || name,
    queryable: element.getAttribute("queryable") === "1",
    credit: children(element, "Attribution").map((attribution) => textOf(attribution, "Title"))[0] ?? "",
    layers: children(element, "Layer").map(readLayer),
  };
}

export const leaves = (layer) =>
  layer.layers.flatMap((inner) => (inner.layers.length ? leaves(inner) : inner.name ? [inner] : []));

// WMS draws the first name at the bottom, the capabilities begin with the top.
export const drawingOrder = (layers) => layers.map((layer) => layer.name).reverse().join(",");

function readBox(root) {
  const box = children(root, "EX_GeographicBoundingBox")[0];
  const side = (name) => (box ? Number.parseFloat(textOf(box, name)) : NaN);
  const sides = ["westBoundLongitude", "southBoundLatitude", "eastBoundLongitude", "northBoundLatitude"].map(side);
  const [west, south, east, north] = sides;
  // A project without layers has an empty extent, or one upside down.
  if (!sides.every(Number.isFinite) || west > east || south > north) return [-180, -60, 180, 75];
  return [Math.max(west, -180), Math.max(south, -85.05), Math.min(east, 180), Math.min(north, 85.05)];
}

export async function capabilities(service, project) {
  const { text } = await ask(address(service, project, { REQUEST: "GetCapabilities" }));
  const xml = parse(text);
  const [about, capability] = ["Service", "Capability"].map((name) => xml.getElementsByTagNameNS("*", name)[0]);
  const root = capability && children(capability, "Layer")[0];
  const tree = root && readLayer(root);
  if (!tree || !leaves(tree).length) throw new Error("The project publishes no layers as WMS.");
  return {
    title: (about && textOf(about, "Title")) || tree.title || project,
    abstract: about ? textOf(about, "Abstract") : "",
    tree,
    box: readBox(root),
  };
}

// Web Mercator metres of a place in degrees.
export function metres(longitude, latitude) {
  const y = Math.log(Math.tan(Math.PI / 4 + (latitude * Math.PI) / 360)) / Math.PI;
  return [(longitude / 180) * EDGE, Math.max(-1, Math.min(1, y)) * EDGE];
}

// Nearly all of the world: better cut at its edges than with empty margins beside it.
export const isWorld = ([west, , east]) => east - west > 300;

// A BBOX around the degrees of `box` in the shape of a picture of width × height pixels.
export function boxInShape(box, width, height) {
  const [west, south, east, north] = box;
  const [[left, low], [right, high]] = [metres(west, south), metres(east, north)];
  const pixels = [(right - left) / width, (high - low) / height];
  const pixel = isWorld(box) ? Math.min(...pixels) : Math.max(...pixels, 0.5) * 1.04;
  const [x, y] = [(left + right) / 2, (low + high) / 2];
  return [x - (pixel * width) / 2, y - (pixel * height) / 2, x + (pixel * width) / 2, y + (pixel * height) / 2];
}
