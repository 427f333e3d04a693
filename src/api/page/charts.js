// Throughput and backlog of the last minutes as lines in SVG; the value under the pointer goes into the legend.

import { byId, make } from "./dom.js";
import { clock, count, number, rate, whole } from "./text.js";

const SPANS = [2, 5, 10, 15]; // what the charts show, minutes: the least that holds all there is
const GAP = 3; // no line over a gap of so many usual distances

const SVG = "http://www.w3.org/2000/svg";
function svg(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

/** The next round number above. */
function ceiling(n) {
  const power = 10 ** Math.max(0, Math.floor(Math.log10(n)));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= n);
}

/** Cuts points where some are missing. */
function pieces(points) {
  const distances = points.slice(1).map((point, at) => point.at - points[at].at).sort((a, b) => a - b);
  const usual = distances[Math.floor(distances.length / 2)] ?? 0;
  const found = [];
  points.forEach((point, at) => {
    if (at === 0 || point.at - points[at - 1].at > GAP * usual) found.push([]);
    found[found.length - 1].push(point);
  });
  return found;
}

/** Draws lines over the last minutes; `series` are names of the points' values, the first with an area below. */
function chart(box, { points, end, minutes, series, label, className }) {
  const width = Math.max(200, box.clientWidth), height = 120, top = 14, bottom = 102;
  const most = ceiling(Math.max(1, ...points.flatMap((point) => series.map((name) => point[name]))));
  const x = (at) => (1 + (at - end) / (minutes * 60000)) * width;
  const y = (value) => bottom - (Math.max(0, value) / most) * (bottom - top);
  const xy = (name) => (point) => `${x(point.at).toFixed(1)} ${y(point[name]).toFixed(1)}`;
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: className ?? "" });
  for (const value of [0, most]) root.append(svg("line", { class: "axis", x1: 0, x2: width, y1: y(value), y2: y(value) }));
  const mark = (text, at, place, anchor) => {
    const node = svg("text", { x: at, y: place, "text-anchor": anchor });
    node.textContent = text;
    root.append(node);
  };
  mark(whole.format(most), 0, top - 4, "start");
  mark(`${minutes} min ago`, 0, height - 3, "start");
  const step = minutes > 5 ? 5 : 1;
  for (let ago = step; ago < minutes; ago += step) mark(`${ago}`, x(end - ago * 60000), height - 3, "middle");
  mark("now", width, height - 3, "end");
  for (const piece of pieces(points)) {
    series.forEach((name, at) => {
      const path = piece.map(xy(name)).join("L");
      if (at === 0 && piece.length > 1) root.append(svg("path", { class: "area", d: `M${path}L${x(piece[piece.length - 1].at)} ${bottom}L${x(piece[0].at)} ${bottom}Z` }));
      root.append(svg("path", { class: at ? "line second" : "line", d: `M${path}${piece.length > 1 ? "" : "h.01"}` }));
    });
  }
  const chosen = pointed.get(box);
  if (chosen !== undefined && points.length) {
    const nearest = points.reduce((best, point) => (Math.abs(x(point.at) - chosen) < Math.abs(x(best.at) - chosen) ? point : best));
    root.append(svg("line", { class: "cross", x1: x(nearest.at), x2: x(nearest.at), y1: top, y2: bottom }));
    box.replaceChildren(root);
    return nearest;
  }
  box.replaceChildren(root);
  return null;
}

/** Where the pointer is over a chart. */
const pointed = new Map();

export function charts(status) {
  const end = status.now_ms;
  const samples = status.history.map(([at, accepted, delivered, parked]) => ({ at, accepted, delivered, parked }));
  const { ledger: books } = status.totals;
  const last = { at: end, accepted: status.totals.events_accepted, delivered: books.delivered, parked: books.parked };
  if (!samples.length || end - samples[samples.length - 1].at > 2500) samples.push(last);
  else samples[samples.length - 1] = last;
  const longest = SPANS[SPANS.length - 1];
  const usable = samples.filter((sample) => sample.at >= end - longest * 60000);
  const minutes = SPANS.find((span) => usable[0].at >= end - span * 60000);
  const rates = usable.slice(1).flatMap((sample, at) => {
    const seconds = (sample.at - usable[at].at) / 1000;
    if (seconds > 60) return [];
    const per = (name) => Math.max(0, (sample[name] - usable[at][name]) / seconds);
    return [{ at: sample.at, accepted: per("accepted"), delivered: per("delivered") }];
  });
  const now = rates[rates.length - 1];
  const most = (points, name) => Math.max(0, ...points.map((point) => point[name]));
  const said = chart(byId("throughput"), {
    points: rates, end, minutes, series: ["delivered", "accepted"],
    label: now ? `Delivered ${rate(now.delivered)} a second now, at most ${rate(most(rates, "delivered"))} in ${minutes} minutes; accepted ${rate(now.accepted)} events a second now` : "No rates yet",
  });
  legend(byId("throughput-legend"), said, now && [["", "delivered", rate((said ?? now).delivered)], ["dashed", "accepted", rate((said ?? now).accepted)]]);
  const parked = chart(byId("backlog"), {
    points: usable, end, minutes, series: ["parked"], className: "behind",
    label: `${count(last.parked, "delivery")} parked now, at most ${number(most(usable, "parked"))} in ${minutes} minutes`,
  });
  legend(byId("backlog-legend"), parked, [[null, parked ? "then" : "now", number((parked ?? last).parked)], [null, "highest", number(most(usable, "parked"))]]);
}

function legend(node, chosen, entries) {
  const parts = (entries || []).map(([line, name, value]) => make("span", "", line === null ? "" : make("i", line), `${name} `, make("b", "", value)));
  node.replaceChildren(...(chosen ? [make("span", "", clock(chosen.at))] : []), ...parts);
}

/** Calls `draw` whenever the pointer moves over a chart, or the window changes its size. */
export function follow(draw) {
  addEventListener("resize", draw);
  for (const id of ["throughput", "backlog"]) {
    const box = byId(id);
    box.addEventListener("pointermove", (event) => {
      pointed.set(box, event.clientX - box.getBoundingClientRect().left);
      draw();
    });
    box.addEventListener("pointerleave", () => {
      pointed.delete(box);
      draw();
    });
  }
}
