// SPDX-License-Identifier: GPL-2.0-or-later
// The three charts, by uPlot. Each has series over one axis of time; what it shows is also in the tiles.
"use strict";

const CHARTS = {
  load: { series: [["busy", "--busy"], ["waiting", "--wait"]], unit: "" },
  rates: { series: [["requests", "--good"], ["errors", "--bad"]], unit: "/s" },
  latency: { series: [["half", "--good"], ["95 %", "--wait"]], unit: " s" },
};
const POINTS = 300;

class Charts {
  constructor() {
    this.data = Object.fromEntries(Object.keys(CHARTS).map((name) => [name, [[], [], []]]));
    this.plots = {};
  }

  add(name, time, ...values) {
    const columns = this.data[name];
    [time, ...values].forEach((value, at) => {
      columns[at].push(value);
      if (columns[at].length > POINTS) columns[at].shift();
    });
  }

  draw() {
    for (const name of Object.keys(CHARTS)) {
      this.plots[name] ??= this.plot(name);
      this.plots[name].setData(this.data[name]);
    }
  }

  // Colours and width are taken when a plot is made.
  renew() {
    for (const plot of Object.values(this.plots)) plot.destroy();
    this.plots = {};
    this.draw();
  }

  plot(name) {
    const place = document.getElementById(name);
    const colour = (variable) => getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
    const { series, unit } = CHARTS[name];
    const grid = { stroke: colour("--line"), width: 1 };
    const axis = { stroke: colour("--soft"), grid, ticks: grid };
    const shown = (_, value) => (value == null ? "–" : `${+value.toPrecision(3)}${unit}`);
    const lines = series.map(([label, variable]) => (
      { label, stroke: colour(variable), width: 2, points: { show: false }, value: shown }
    ));
    const clock = (seconds) => new Date(1000 * seconds).toLocaleTimeString([], { hour12: false });
    const times = { ...axis, space: 90, values: (_, shown) => shown.map(clock) };
    return new uPlot({
      width: Math.max(240, place.clientWidth),
      height: 190,
      axes: [times, { ...axis, size: 56 }],
      scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.1, name === "latency" ? 0.1 : 1)] } },
      series: [{ value: "{HH}:{mm}:{ss}" }, ...lines],
    }, this.data[name], place);
  }
}
