// The list of studies tells how far compression is, without being loaded again.
import { askJson, ratio, size } from "./common.js";

const EVERY = 3000;
const rows = new Map([...document.querySelectorAll("#studies tr[data-uid]")].map((row) => [row.dataset.uid, row]));

function show(row, now) {
  const set = (field, text) => { row.querySelector(`[data-field="${field}"]`).textContent = text; };
  set("instances", now.instances);
  set("before", size(now.before));
  set("after", size(now.after));
  set("ratio", ratio(now.before, now.after));
  set("saved", now.before >= now.after ? size(now.before - now.after) : `−${size(now.after - now.before)}`);
  const tag = row.querySelector('[data-field="state"] .tag');
  tag.className = now.pending ? "tag busy" : "tag done";
  tag.textContent = now.pending ? `compressing, ${now.pending} left` : "done";
}

async function look() {
  const busy = [...rows].filter(([, row]) => row.querySelector(".busy")).map(([uid]) => uid);
  if (busy.length && !document.hidden) {
    try {
      const found = await askJson(`/studies/states.json?${new URLSearchParams(busy.slice(0, 60).map((uid) => ["uid", uid]))}`);
      for (const [uid, now] of Object.entries(found)) show(rows.get(uid), now);
    } catch { /* tried again */ }
  }
  setTimeout(look, EVERY);
}

setTimeout(look, EVERY);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest("input, select, textarea")) {
    event.preventDefault();
    document.querySelector('input[type="search"]').focus();
  }
});
