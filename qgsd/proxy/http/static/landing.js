// SPDX-License-Identifier: GPL-2.0-or-later
// Previews of the maps as they come into view, and copying of service addresses.
import { address, ask, boxInShape, capabilities, drawingOrder, leaves } from "./wms.js";

const service = new URL("ows/", document.baseURI).href;
// Previews must not take the workers away from people who look at maps.
const AT_ONCE = 2;
const waiting = [];
let running = 0;

function picture(url) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.alt = "";
    image.onload = () => resolve(image);
    // The picture's own error event does not say what the server said.
    image.onerror = () => ask(url).then(() => reject(new Error("The picture cannot be shown.")), reject);
    image.src = url;
  });
}

async function preview(place) {
  const project = place.dataset.preview;
  const { tree, box } = await capabilities(service, project);
  const layers = leaves(tree);
  const [width, height] = [place.clientWidth, place.clientHeight].map((side) => Math.round(side) || 320);
  const sharpness = Math.min(window.devicePixelRatio || 1, 2);
  const image = await picture(address(service, project, {
    REQUEST: "GetMap", LAYERS: drawingOrder(layers), STYLES: "", CRS: "EPSG:3857", FORMAT: "image/png",
    BBOX: boxInShape(box, width, height).join(","), TRANSPARENT: "TRUE",
    WIDTH: Math.round(width * sharpness), HEIGHT: Math.round(height * sharpness), DPI: Math.round(90.7 * sharpness),
  }));
  place.replaceChildren(image);
}

async function work() {
  if (running >= AT_ONCE || !waiting.length) return;
  const place = waiting.shift();
  running += 1;
  place.classList.add("loading");
  try {
    await preview(place);
    place.classList.add("drawn");
  } catch (error) {
    const note = document.createElement("span");
    note.textContent = error.message;
    place.replaceChildren(note);
  } finally {
    running -= 1;
    place.classList.remove("loading");
    work();
  }
}

const watcher = new IntersectionObserver((changes) => {
  for (const { isIntersecting, target } of changes) {
    const at = waiting.indexOf(target);
    // Who scrolls past quickly does not want what is out of sight again.
    if (!isIntersecting && at >= 0) waiting.splice(at, 1);
    else if (isIntersecting && at < 0 && !target.matches(".loading, .drawn") && !target.firstChild) waiting.push(target);
  }
  for (let free = AT_ONCE - running; free > 0; free -= 1) work();
});
for (const place of document.querySelectorAll("[data-preview]")) watcher.observe(place);

async function copy(button) {
  const url = new URL(button.dataset.copy, document.baseURI).href;
  try {
    await navigator.clipboard.writeText(url);
  } catch {
    // Browsers refuse without https; then the address can at least be taken by hand.
    window.prompt("The address:", url);
    return;
  }
  button.textContent = "copied";
  document.getElementById("said").textContent = `Copied ${url}`;
  setTimeout(() => { button.textContent = "copy"; }, 1500);
}
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", () => copy(button));
}
