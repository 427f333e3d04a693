// The page of the admin listener: asks /status.json every second while it is seen, and shows what it says.
//
// Everything that comes from outside is inserted as text (textContent), never as markup. Rows are kept and
// changed in place, so that a selection, the focus and a reader's place survive an update.
"use strict";

const PERIOD = 1000; // from one question to the next, ms
const PATIENCE = 8000; // then a question counts as unanswered, ms
const SPANS = [2, 5, 10, 15]; // what the charts show, minutes: the least that holds all there is
const GAP = 3; // no line over a gap of so many usual distances

const EM = "\u2003"; // a space that goes away where a line ends

const byId = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en-US");
const few = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });
const number = (n) => (n < 0 ? "−" : "") + whole.format(Math.abs(n));
const rate = (n) => (n < 10 ? few : whole).format(n < 10 ? n : Math.round(n));
const count = (n, noun) => `${number(n)} ${n === 1 ? noun : noun.endsWith("y") ? noun.slice(0, -1) + "ies" : noun + "s"}`;
const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour12: false });

/** A length of time in its two largest units, as `holdfast status` writes it. */
function span(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (a, x, b, y) => (b ? `${a}${x} ${b}${y}` : `${a}${x}`);
  if (s < 60) return `${s}s`;
  if (s < 3600) return two(Math.floor(s / 60), "m", s % 60, "s");
  if (s < 86400) return two(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "m");
  return two(Math.floor(s / 86400), "d", Math.floor((s % 86400) / 3600), "h");
}

function size(bytes) {
  let unit = 0;
  while (bytes >= 1024 && unit < 4) { bytes /= 1024; unit += 1; }
  return `${unit ? bytes.toFixed(1) : bytes} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
}

/** Sets a text only when it changes. */
function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function make(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

/** Makes `parent` hold one child for each item: by key, in order, changed in place. */
function each(parent, items, key, create, update) {
  const known = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let node = known.get(name);
    known.delete(name);
    if (!node) {
      node = create(item);
      node.dataset.key = name;
    }
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
    update(node, item);
  }
  for (const node of known.values()) node.remove();
}

/** A row of cells; each has a class and, for narrow screens, a label. */
function row(columns) {
  const tr = make("tr");
  tr.setAttribute("role", "row");
  for (const [className, label] of columns) {
    const td = make("td", className);
    td.setAttribute("role", "cell");
    if (label) td.dataset.label = label;
    tr.append(td);
  }
  return tr;
}

/** A cell's text, with a second line where there is one; a cell without a value is left out on narrow screens. */
function cell(td, text, second = "") {
  if (td.firstChild?.nodeType !== Node.TEXT_NODE) td.prepend("");
  if (td.firstChild.data !== text) td.firstChild.data = text;
  let small = td.querySelector("small");
  if (!second) small?.remove();
  else {
    if (!small) td.append((small = make("small")));
    put(small, second);
  }
  td.classList.toggle("none", !text || text === "–");
  td.classList.toggle("quiet", text === "–" || text === "0");
}

function chip(td, state) {
  if (!td.firstElementChild) td.append(make("span"));
  td.firstElementChild.className = `chip ${state}`;
  put(td.firstElementChild, state);
}

// --- What is shown ---

function verdict(status) {
  const { unavailable, behind, suspended, delivering } = status.states;
  const all = unavailable + behind + suspended + delivering;
  const { totals } = status;
  let title;
  if (totals.ledger.imbalance !== 0) title = "The ledger does not balance";
  else if (totals.workers_alive === 0) title = "No worker runs: nothing is delivered";
  else if (all === 0) title = "Nobody has subscribed yet";
  else if (unavailable) title = `${number(unavailable)} of ${count(all, "subscriber")} ${unavailable === 1 ? "is" : "are"} unavailable`;
  else if (behind) title = `${count(behind, "subscriber")} ${behind === 1 ? "is" : "are"} catching up`;
  else if (delivering) title = delivering === 1 && all === 1 ? "The one subscriber is served" : suspended ? `${number(delivering)} of ${count(all, "subscriber")} are served` : `All ${number(all)} subscribers are served`;
  else title = all === 1 ? "The one subscription is suspended" : `All ${number(all)} subscriptions are suspended`;
  const parked = totals.ledger.parked;
  const oldest = status.oldest_parked_age_ms === null ? "" : `, the oldest for ${span(status.oldest_parked_age_ms)}`;
  const detail = totals.ledger.imbalance !== 0 ? `It is off by ${number(totals.ledger.imbalance)}: keys of Holdfast were changed by something else.`
    : totals.workers_alive === 0 ? `Start one with holdfast serve. ${count(parked, "delivery")} parked, nothing is lost.`
    : all === 0 ? "Make a subscription: holdfast subscriptions add http://HOST/PATH"
    : parked ? `${count(parked, "delivery")} ${parked === 1 ? "waits" : "wait"}${oldest}. Nothing is lost.`
    : "Nothing waits.";
  put(byId("verdict"), title);
  put(byId("detail"), detail);
  put(byId("say"), title);
  document.title = `${title} · Holdfast`;
}

function figures(status, now) {
  const { totals } = status;
  const memory = totals.memory_limit_bytes ? totals.memory_used_bytes / totals.memory_limit_bytes : 0;
  const waiting = totals.events_waiting + totals.events_in_progress;
  const items = [
    ["Accepted", now.accepted === null ? "–" : rate(now.accepted), "events a second"],
    ["Delivered", now.delivered === null ? "–" : rate(now.delivered), "a second"],
    ["Parked", number(totals.ledger.parked), status.oldest_parked_age_ms === null ? "" : `oldest ${span(status.oldest_parked_age_ms)}`, totals.ledger.parked ? "warn" : ""],
    ["In progress", number(waiting), waiting && totals.oldest_event_age_ms >= 2000 ? `oldest ${span(totals.oldest_event_age_ms)}` : "events"],
    ["Dead letters", number(totals.dead_letters), "", totals.dead_letters ? "warn" : ""],
    ["Workers", number(totals.workers_alive), "alive", totals.workers_alive ? "" : "bad"],
    ["Redis memory", size(totals.memory_used_bytes), totals.memory_limit_bytes ? `${Math.floor(memory * 100)} % of ${size(totals.memory_limit_bytes)}` : "", memory >= 0.8 ? "bad" : memory >= 0.6 ? "warn" : ""],
    ["Nobody wanted", number(totals.ledger.unwanted_events), "events so far"],
  ];
  each(byId("figures"), items, (item) => item[0], ([name]) => make("div", "", make("dt", "", name), make("dd")), (node, [, value, note, mood]) => {
    node.className = mood || "";
    const dd = node.lastElementChild;
    if (!dd.firstChild) dd.append("", make("small"));
    if (dd.firstChild.data !== value) dd.firstChild.data = value;
    put(dd.lastElementChild, note);
  });
}

function subscriptions(status) {
  const columns = [["state"], ["name"], ["n", "parked"], ["n", "change/s"], ["n", "oldest"], ["n", "next try"], ["why"]];
  const body = byId("subscriptions").tBodies[0];
  each(body, status.subscriptions, (item) => item.id, () => row(columns), (tr, item) => {
    tr.dataset.state = item.delivery;
    const [state, name, parked, change, oldest, next, why] = tr.cells;
    chip(state, item.delivery);
    cell(name, item.destination + EM, item.id);
    cell(parked, number(item.parked));
    const per = item.parked_per_second ?? 0;
    cell(change, per ? (per > 0 ? "+" : "") + number(per) : "–", per < 0 && item.parked ? `${span((item.parked / -per) * 1000)} left` : "");
    cell(oldest, item.oldest_age_ms === null ? "–" : span(item.oldest_age_ms));
    cell(next, nextTry(item));
    cell(why, item.delivery === "delivering" ? "" : item.last_error, trouble(item));
  });
  byId("subscriptions").hidden = status.subscriptions.length === 0;
  const filtered = byId("filter").value.trim() !== "";
  const more = status.matching - status.subscriptions.length;
  const known = Object.values(status.states).reduce((a, b) => a + b, 0);
  put(byId("more"), more > 0 ? `and ${number(more)} more, none worse than these` + (filtered ? "" : ": filter to see them")
    : status.matching === 0 ? (known === 0 ? "None yet: holdfast subscriptions add http://HOST/PATH" : "None matches the filter") : "");
  const names = ["unavailable", "behind", "suspended", "delivering"];
  const unreadable = status.totals.unreadable_subscriptions;
  put(byId("states"), names.filter((name) => status.states[name]).map((name) => `${number(status.states[name])} ${name}`)
    .concat(unreadable ? `${number(unreadable)} unreadable: see holdfast subscriptions list` : []).join(" · "));
}

function trouble(item) {
  if (item.unavailable_for_ms === null) return "";
  return `down for ${span(item.unavailable_for_ms)}, ${count(item.failures, "probe")} failed`;
}

function nextTry(item) {
  if (item.delivery === "suspended" || item.next_attempt_in_ms === null) return "–";
  return item.next_attempt_in_ms === 0 ? "now" : `in ${span(item.next_attempt_in_ms + 999)}`;
}

function ledger({ ledger: books }) {
  const parts = [["wanted", books.wanted], ["+ replayed", books.replayed], ["= delivered", books.delivered], ["+ parked", books.parked], ["+ dead letters", books.dead_lettered], ["+ dropped", books.dropped]];
  each(byId("ledger"), parts, ([name]) => name, ([name]) => {
    const [sign, ...words] = name.split(" ");
    const figure = make("div", "", make("dt", "", words.length ? words.join(" ") : sign), make("dd"));
    if (!words.length) return figure;
    const group = make("div", "", make("dt", "", words.join(" ")), make("dd"));
    group.lastElementChild.dataset.sign = sign;
    return group;
  }, (node, [, value]) => {
    const dd = node.lastElementChild;
    put(dd, (dd.dataset.sign ? `${dd.dataset.sign} ` : "") + number(value));
  });
  const balance = byId("balance");
  balance.className = `states ${books.imbalance ? "bad" : "good"}`;
  put(balance, books.imbalance ? `▲ off by ${number(books.imbalance)}: keys of Holdfast were changed by something else` : "✓ balances: every wanted delivery is accounted for");
}

function deadLetters(status) {
  const columns = [["when"], ["name"], ["why"], ["n", "tries"]];
  const total = status.totals.dead_letters;
  each(byId("dead").tBodies[0], status.dead_letters, (item) => item.id, () => row(columns), (tr, item) => {
    const [when, name, why, tries] = tr.cells;
    cell(when, `${span(status.now_ms - item.given_up_at_ms)} ago`);
    when.title = new Date(item.given_up_at_ms).toLocaleString();
    const to = item.subscription === null ? "an event that can't be read" : item.destination ?? item.subscription;
    cell(name, to + EM, to === item.subscription || item.subscription === null ? "" : item.subscription);
    cell(why, item.reason, item.error);
    cell(tries, number(item.attempts));
  });
  byId("dead").hidden = status.dead_letters.length === 0;
  put(byId("dead-count"), total ? number(total) : "");
  const note = byId("dead-note");
  if (total === 0) put(note, "None.");
  else if (!note.firstElementChild) note.replaceChildren("", make("code", "", "holdfast dead-letters list"), " shows all; then ", make("code", "", "show"), ", ", make("code", "", "replay"), " or ", make("code", "", "purge"), ".");
}

function workers(status) {
  const columns = [["state"], ["name"], ["n", "heartbeat"]];
  each(byId("workers").tBodies[0], status.workers, (item) => item.name, () => row(columns), (tr, item) => {
    const [state, name, beat] = tr.cells;
    chip(state, item.state);
    cell(name, item.name);
    cell(beat, item.heartbeat_age_ms === null ? "–" : `${few.format(item.heartbeat_age_ms / 1000)}s ago`);
  });
  byId("workers").hidden = status.workers.length === 0;
  const silent = status.workers.filter((item) => item.state === "silent").length;
  put(byId("workers-count"), `${number(status.totals.workers_alive)} alive${silent ? ` · ${number(silent)} silent: peers take over` : ""}`);
  const more = status.workers_known - status.workers.length;
  put(byId("workers-note"), status.workers_known === 0 ? "None: start one with holdfast serve" : more > 0 ? `and ${number(more)} more` : "");
}

// --- Charts ---

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

function charts(status) {
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

for (const id of ["throughput", "backlog"]) {
  const box = byId(id);
  box.addEventListener("pointermove", (event) => {
    pointed.set(box, event.clientX - box.getBoundingClientRect().left);
    if (shown) charts(shown);
  });
  box.addEventListener("pointerleave", () => {
    pointed.delete(box);
    if (shown) charts(shown);
  });
}

// --- Asking ---

let shown = null; // what is on the page
let answeredAt = null; // when it came, by this machine's clock
let earlier = []; // the last few answers' totals, for the rates of the figures
let silentSince = null;

function show(status) {
  shown = status;
  const total = { at: status.now_ms, accepted: status.totals.events_accepted, delivered: status.totals.ledger.delivered };
  earlier = earlier.filter((old) => old.at < total.at && total.at - old.at < 20000).slice(-5);
  const per = (name) => (earlier.length ? Math.max(0, ((total[name] - earlier[0][name]) * 1000) / (total.at - earlier[0].at)) : null);
  const now = { accepted: per("accepted"), delivered: per("delivered") };
  earlier.push(total);
  put(byId("version"), status.version);
  byId("board").hidden = false;
  verdict(status);
  figures(status, now);
  charts(status);
  subscriptions(status);
  ledger(status.totals);
  deadLetters(status);
  workers(status);
}

function alive() {
  silentSince = null;
  answeredAt = Date.now();
  byId("absence").hidden = true;
  document.body.classList.remove("stale");
  byId("live").dataset.state = "live";
  put(byId("live-text"), `live · ${clock(answeredAt)}`);
}

function away(reason) {
  silentSince ??= answeredAt ?? Date.now();
  document.body.classList.toggle("stale", shown !== null);
  byId("live").dataset.state = "away";
  put(byId("live-text"), `no answer since ${clock(silentSince)} (${span(Date.now() - silentSince)})`);
  byId("absence").hidden = false;
  put(byId("absence"), reason + (shown ? " What is shown is the state before." : ""));
  if (!shown) put(byId("verdict"), "No answer yet");
  document.title = "No answer · Holdfast";
}

async function ask() {
  const filter = byId("filter").value.trim();
  try {
    const answer = await fetch(`status.json?filter=${encodeURIComponent(filter)}`, { signal: AbortSignal.timeout(PATIENCE), cache: "no-store" });
    const body = await answer.json();
    if (!answer.ok) return away(`${body.error?.message ?? `The pod answers ${answer.status}`}.`);
    alive();
    show(body);
  } catch {
    away("The pod does not answer.");
  }
}

let timer = null;
let asking = false;

/** Asks now, and again every second while the page is seen: a page in the background costs nothing. */
async function turn() {
  if (asking) return;
  clearTimeout(timer);
  asking = true;
  const start = Date.now();
  await ask();
  asking = false;
  if (!document.hidden) timer = setTimeout(turn, Math.max(100, PERIOD - (Date.now() - start)));
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) turn();
});
byId("filter").addEventListener("input", turn);
addEventListener("resize", () => shown && charts(shown));
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target instanceof HTMLInputElement || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  byId("filter").focus();
});
turn();
