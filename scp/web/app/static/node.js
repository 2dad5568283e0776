// The node's page refreshes its figures and curves.
import { askJson, size } from "./common.js";
import { lines } from "./plot.js";

const EVERY = 5000;
const by = (id) => document.getElementById(id);

function minutes(points, from, to) {
  // Minutes in which nothing happened are not told: they are zero.
  const known = new Map(points), all = [];
  const step = 600;
  for (let start = Math.floor(from / step) * step; start < to; start += step) {
    let sum = 0;
    for (let at = start; at < start + step; at += 60) sum += known.get(at) ?? 0;
    all.push([start + step / 2, sum / (step / 60)]);
  }
  return all;
}

function show(now) {
  const set = (name, text) => { const place = document.querySelector(`[data-figure="${name}"]`); if (place) place.textContent = text; };
  set("backlog", now.backlog);
  set("coding", now.coding);
  set("coded", now.coded.toLocaleString("en").replaceAll(",", "\u202f"));
  set("saved", size(now.bytes_before - now.bytes_after));
  const day = { from: now.now - 86400, to: now.now, format: (value) => (value < 10 ? value.toFixed(1) : value.toFixed(0)) };
  lines(by("activity"), [{ points: minutes(now.activity.received ?? [], day.from, day.to), colour: "#e6bd6a" },
    { points: minutes(now.activity.coded ?? [], day.from, day.to), colour: "#6cc5dd" }], day);
  const hours = now.history.map((held) => [held.hour * 3600, held]);
  const from = Math.min(now.now - 86400, hours.length ? hours[0][0] : now.now);
  lines(by("history"), [{ points: [...hours.map(([at, held]) => [at, held.bytes_before]), [now.now, now.bytes_before]], colour: "#e6bd6a" },
    { points: [...hours.map(([at, held]) => [at, held.bytes_after]), [now.now, now.bytes_after]], colour: "#6cc5dd" }], { from, to: now.now, format: size });
}

async function look() {
  if (!document.hidden) try { show(await askJson("/node.json")); } catch { /* tried again */ }
  setTimeout(look, EVERY);
}

look();
