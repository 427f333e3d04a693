// The page of the admin listener: asks /status.json every second while it is seen, and shows what it says.

import { charts, follow } from "./charts.js";
import { byId, put } from "./dom.js";
import { deadLetters, figures, ledger, subscriptions, verdict, workers } from "./parts.js";
import { clock, span } from "./text.js";

const PERIOD = 1000; // from one question to the next, ms
const PATIENCE = 8000; // then a question counts as unanswered, ms

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
follow(() => shown && charts(shown));
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target instanceof HTMLInputElement || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  byId("filter").focus();
});
turn();
