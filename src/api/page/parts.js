// The parts of the page: each shows its share of what /status.json says.

import { EM, byId, cell, chip, each, make, put, row } from "./dom.js";
import { count, few, number, rate, size, span } from "./text.js";

export function verdict(status) {
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

export function figures(status, now) {
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

export function subscriptions(status) {
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

export function ledger({ ledger: books }) {
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

export function deadLetters(status) {
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

export function workers(status) {
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
