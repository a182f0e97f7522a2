// SPDX-License-Identifier: GPL-2.0-or-later
// Reads /status/stream and shows it. By fetch, not EventSource, which could not send the token.
"use strict";

const byId = (id) => document.getElementById(id);
const charts = new Charts();
let last = null;      // the state before, for rates
let readOnly = true;
let historyLoaded = false;

// ------------------------------------------------------------------ the stream

function headers() {
  const token = byId("token").value.trim();
  return token ? { Authorization: `Bearer ${token}` } : {};
}

async function follow() {
  for (;;) {
    try {
      const answer = await fetch("status/stream", { headers: headers(), cache: "no-store" });
      if (answer.ok) await read(answer.body.getReader());
      else tell((await answer.json()).error.message);
    } catch (error) {
      tell("the admin child does not answer");
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function tell(trouble) {
  const state = byId("state");
  state.textContent = trouble;
  state.className = "badge lost";
}

async function read(reader) {
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += decoder.decode(value, { stream: true });
    const messages = rest.split("\n\n");
    rest = messages.pop();
    messages.forEach(take);
  }
}

function take(message) {
  const lines = Object.fromEntries(message.split("\n").map((line) => {
    const colon = line.indexOf(": ");
    return [line.slice(0, colon), line.slice(colon + 2)];
  }));
  if (!lines.event) return;
  const data = JSON.parse(lines.data);
  if (lines.event === "history") takeHistory(data);
  else if (lines.event === "state") takeState(data);
  else if (lines.event === "event") addEvent(data);
  else if (lines.event === "trouble") tell(data.message);
}

// ------------------------------------------------------------------ what comes

function takeHistory(moments) {
  if (historyLoaded) return;
  historyLoaded = true;
  let before = null;
  for (const [time, requests, errors, waiting, busy] of moments) {
    charts.add("load", time, busy, waiting);
    if (before && time > before[0]) {
      const elapsed = time - before[0];
      charts.add("rates", time, rise(requests, before[1]) / elapsed, rise(errors, before[2]) / elapsed);
    }
    before = [time, requests, errors];
  }
  charts.draw();
}

// A counter that fell belongs to a new master.
const rise = (now, before) => (now >= before ? now - before : now);

function takeState(state) {
  const time = Date.now() / 1000;
  const { status } = state;
  const counters = status.counters;
  document.title = `${status.instance} · qgsd`;
  byId("instance").textContent = status.instance;
  byId("versions").textContent = `${status.version}, QGIS ${status.qgis_version}, up ${duration(status.uptime)}`;
  byId("state").textContent = status.state;
  byId("state").className = `badge ${status.state}`;
  byId("saturation").textContent = state.saturation.toFixed(2);
  byId("workers").textContent = `${status.workers.busy} of ${status.workers.ready}`;
  byId("waiting").textContent = status.queue.waiting;
  byId("errors").textContent = counters.errors;
  byId("crashes").textContent = counters.crashes;
  charts.add("load", time, status.workers.busy, status.queue.waiting);
  if (last) {
    const elapsed = Math.max(0.001, time - last.time);
    const rate = rise(counters.requests, last.requests) / elapsed;
    charts.add("rates", time, rate, rise(counters.errors, last.errors) / elapsed);
    byId("rate").textContent = rate.toFixed(1);
    const fresh = state.latency.counts.map((count, at) => rise(count, last.counts[at]));
    const half = quantile(0.5, state.latency.bounds, fresh);
    const slow = quantile(0.95, state.latency.bounds, fresh);
    charts.add("latency", time, half, slow);
    byId("median").textContent = seconds(half);
    byId("slow").textContent = seconds(slow);
  } else {
    byId("target").value = status.workers.target;
  }
  last = { time, requests: counters.requests, errors: counters.errors, counts: state.latency.counts };
  if (state.events) {
    byId("events").replaceChildren();
    state.events.forEach(addEvent);
  }
  setReadOnly(state.read_only);
  showTables(state);
  charts.draw();
}

// As Prometheus' histogram_quantile: by interpolation within the bucket. Counts are cumulative.
function quantile(share, bounds, counts) {
  const total = counts[counts.length - 1];
  if (!total) return null;
  const wanted = share * total;
  const at = counts.findIndex((count) => count >= wanted);
  if (at >= bounds.length) return bounds[bounds.length - 1];
  const low = at ? bounds[at - 1] : 0;
  const below = at ? counts[at - 1] : 0;
  return low + (bounds[at] - low) * (wanted - below) / Math.max(1, counts[at] - below);
}

// ------------------------------------------------------------------ the tables

function showTables(state) {
  fill("ps", state.processes, (row) => [
    head(row.slot === null ? row.role : `${row.role} ${row.slot}`, ""),
    cell(row.state, row.state),
    cell(row.pid ?? "–", "n"), cell(duration(row.uptime), "n"), cell(row.requests, "n"),
    cell(mebibytes(row.pss), "n"), cell(`${row.cpu.toFixed(0)} %`, "n"), cell(row.project ?? "", "wide"),
  ]);
  fill("queue", state.queue, (row) => [
    head(row.project || "–"), cell(row.waiting, "n"), cell(row.running, "n"),
    cell(row.waiting ? `${row.oldest.toFixed(1)} s` : "–", "n"),
  ], "no request waits or runs");
  fill("projects", state.projects, (row) => [
    head(row.project), cell(row.error ? `${row.status}: ${row.error}` : row.status, `wide ${row.status}`),
    cell(row.workers.join(" ") || "–"), cell(`${row.load_ms.toFixed(0)} ms`, "n"),
    cell(mebibytes(row.memory), "n"), cell(row.requests, "n"),
    cell(row.requests ? `${(100 * row.hits / row.requests).toFixed(0)} %` : "–", "n"),
    reloadButton(row.project),
  ], "no project is open");
}

function fill(id, rows, cells, empty) {
  const body = byId(id).tBodies[0];
  // Rows stay, so that neither the focus nor a screen reader loses its place.
  rows.forEach((row, at) => {
    const line = body.rows[at] ?? body.insertRow();
    const made = cells(row);
    if (line.cells.length !== made.length) { line.replaceChildren(...made); return; }
    made.forEach((cell, place) => {
      const old = line.cells[place];
      const same = old.innerHTML === cell.innerHTML && old.className === cell.className;
      if (!same) line.replaceChild(cell, old);
    });
  });
  while (body.rows.length > rows.length) body.deleteRow(-1);
  if (!rows.length && empty) {
    const only = body.insertRow().insertCell();
    only.colSpan = byId(id).tHead.rows[0].cells.length;
    only.textContent = empty;
  }
}

function cell(text, kind = "") {
  const made = document.createElement("td");
  made.textContent = text;
  made.className = kind;
  return made;
}

function head(text, kind = "wide") {
  const made = document.createElement("th");
  made.scope = "row";
  made.className = kind;
  made.textContent = text;
  return made;
}

function reloadButton(project) {
  const made = cell("");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Reload";
  button.setAttribute("aria-label", `Reload ${project}`);
  button.toggleAttribute("disabled", !mayChange());
  button.dataset.project = project;
  made.append(button);
  return made;
}

function addEvent(event) {
  const line = document.createElement("li");
  const time = document.createElement("time");
  const when = new Date(event.time * 1000);
  time.dateTime = when.toISOString();
  time.textContent = when.toLocaleTimeString();
  const name = document.createElement("b");
  name.textContent = event.event;
  line.append(time, name, event.reason);
  if (/(crashed|killed|broken|failed|quarantined|timeout|suspended)$/.test(event.event)) line.className = "bad";
  const list = byId("events");
  list.prepend(line);
  while (list.children.length > 200) list.lastChild.remove();
}

const mebibytes = (bytes) => `${(bytes / 1048576).toFixed(0)} MB`;
const seconds = (value) => (value === null ? "–" : value < 1 ? `${(1000 * value).toFixed(0)} ms` : `${value.toFixed(1)} s`);

function duration(all) {
  const minutes = Math.floor(all / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  if (days) return `${days} d ${hours % 24} h`;
  if (hours) return `${hours} h ${minutes % 60} min`;
  return minutes ? `${minutes} min ${Math.floor(all % 60)} s` : `${Math.floor(all)} s`;
}

// ------------------------------------------------------------------ changing

const mayChange = () => !readOnly && byId("token").value.trim() !== "";

function setReadOnly(value) {
  readOnly = value;
  byId("access").textContent = readOnly
    ? "Read-only: no token is set in [management]."
    : "With the token of [management] you can change things here. It is kept until this tab is closed.";
  byId("token").disabled = readOnly;
  for (const id of ["scale", "reload", "restart"]) byId(id).disabled = !mayChange();
  for (const button of document.querySelectorAll("#projects button")) button.disabled = !mayChange();
}

async function change(command, args, what) {
  const outcome = byId("outcome");
  outcome.className = "";
  outcome.textContent = `${what} …`;
  try {
    const answer = await fetch(`api/${command}`, { method: "POST", headers: headers(), body: JSON.stringify(args) });
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.error.message);
    const kept = Array.isArray(told) ? told.filter((one) => one.status === "kept-old") : [];
    if (kept.length) throw new Error(kept.map((one) => `${one.project} keeps its old version: ${one.error}`).join("; "));
    outcome.textContent = `${what}: done`;
  } catch (error) {
    outcome.className = "problem";
    outcome.textContent = `${what}: ${error.message}`;
  }
}

byId("scale").addEventListener("click", () => {
  const workers = Number(byId("target").value);
  change("scale", { workers }, `Scaling to ${workers} workers`);
});
byId("reload").addEventListener("click", () => change("reload", {}, "Reloading all projects"));
byId("restart").addEventListener("click", () => change("restart", {}, "Restarting all children"));
byId("projects").addEventListener("click", (click) => {
  const project = click.target.dataset?.project;
  if (project) change("reload", { project }, `Reloading ${project}`);
});
byId("controls").addEventListener("submit", (submit) => submit.preventDefault());
byId("token").value = sessionStorage.getItem("token") ?? "";
byId("token").addEventListener("input", () => {
  sessionStorage.setItem("token", byId("token").value.trim());
  setReadOnly(readOnly);
});

// ------------------------------------------------------------------ dark and light

const prefersDark = matchMedia("(prefers-color-scheme: dark)");

function useTheme() {
  const chosen = localStorage.getItem("theme");
  document.documentElement.dataset.theme = chosen ?? (prefersDark.matches ? "dark" : "light");
  charts.renew();
}

byId("theme").addEventListener("click", () => {
  const dark = document.documentElement.dataset.theme === "dark";
  localStorage.setItem("theme", dark ? "light" : "dark");
  useTheme();
});
prefersDark.addEventListener("change", useTheme);
let resizing;
addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(() => charts.renew(), 150);
});

useTheme();
follow();
