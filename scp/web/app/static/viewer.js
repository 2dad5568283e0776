// The study's page: three linked panes, frames, window, zoom, lens, the plot, and what is known of an image.
import { ask, askJson, element, ratio, sentence, size } from "./common.js";
import { Images } from "./images.js";
import { Pane, View } from "./pane.js";
import * as plot from "./plot.js";
import { follow } from "./promise.js";
import { paint, presets, toUnits } from "./windows.js";
const changed = (exact) => exact === "bounded" || exact === "lossy";    // other pixels than the original's

const by = (id) => document.getElementById(id);
const root = by("viewer"), study = root.dataset.study, images = new Images(study);
const AHEAD = 4, AGAIN = 2000;
const view = new View();
const panes = Object.fromEntries(["original", "decoded", "difference"].map((name) => [name, new Pane(by(name), view)]));
const sheet = document.createElement("canvas");
const state = { data: null, places: [], at: 0, shown: null, window: null, preset: 0, lens: false, plot: null, turn: 0, bits: new Map() };

// ------------------------------------------------------------------ the study
function series() { return state.data.series[by("series").selectedIndex] ?? state.data.series[0]; }

function fill() {
  const box = by("series"), before = box.value;
  box.replaceChildren(...state.data.series.map((one) => element("option",
    [one.modality, one.number, one.description || "", `(${one.instances.length})`].filter(Boolean).join(" "), { value: one.uid })));
  if (before) box.value = before;
  if (box.selectedIndex < 0) box.selectedIndex = 0;
  state.places = series().instances.filter((one) => one.picture).flatMap((one) => Array.from({ length: one.frames }, (_, number) => ({ one, frame: number + 1 })));
  by("frame").max = Math.max(1, state.places.length);
  by("frame").disabled = state.places.length < 2;
  const lossy = state.data.series.some((one) => one.instances.some(({ exact }) => changed(exact)));
  by("statement").classList.toggle("lossy", lossy);
  const again = state.data.again ? ` ${state.data.again} objects are in line to be compressed again.` : "";
  by("statement").textContent = `${lossy && !state.data.statement.startsWith("Lossy") ? "Lossy. " : ""}${state.data.statement}${again}`;
}

async function open() {
  state.data = await askJson(`/studies/${encodeURIComponent(study)}/view.json`);
  fill();
  await go(Math.min(Math.floor(state.places.length / 2), state.places.length - 1), true);
  measure();
  if (state.data.pending) setTimeout(again, AGAIN);
}

async function again() {
  const here = state.places[state.at];
  state.data = await askJson(`/studies/${encodeURIComponent(study)}/view.json`);
  fill();
  if (here) {
    const now = state.places.findIndex(({ one, frame }) => one.uid === here.one.uid && frame === here.frame);
    if (now >= 0 && state.places[now].one.state !== here.one.state) { images.forget(here.one.uid); await go(now, false); }
    else state.at = Math.max(0, now);
  }
  measure();
  if (state.data.pending) { setTimeout(again, AGAIN); return; }
  await promised();
  root.dataset.finished = "yes";
}

// What was promised and reached is written by the node; when the last image is done it is asked for again.
async function promised() {
  const place = by("quality");
  const found = new DOMParser().parseFromString(await (await ask(place.dataset.from)).text(), "text/html");
  by("quality-groups").replaceChildren(...found.body.childNodes);
  place.hidden = !by("quality-groups").childElementCount;
}

async function see(uid, frame) {
  const number = state.data.series.findIndex((one) => one.instances.some((instance) => instance.uid === uid));
  if (number >= 0 && number !== by("series").selectedIndex) { by("series").selectedIndex = number; state.shown = null; view.reset(); fill(); measure(); }
  await go(Math.max(0, state.places.findIndex((place) => place.one.uid === uid && place.frame === frame)), false);
  by("difference").focus({ preventScroll: true });
  root.scrollIntoView({ block: "start" });
}

// ------------------------------------------------------------------ a frame
async function go(number, fresh) {
  if (!state.places.length) return empty();
  state.at = Math.max(0, Math.min(state.places.length - 1, number));
  const turn = ++state.turn, { one, frame } = state.places[state.at];
  by("frame").value = state.at + 1;
  words();
  state.plot?.go(state.at);
  try {
    const [image, found] = await Promise.all([images.image(one.uid), images.frame(one.uid, frame)]);
    if (turn !== state.turn) return;
    by("viewer-trouble").hidden = true;
    const other = !state.shown || fresh || state.shown.image.modality !== image.modality;
    state.shown = { one, frame, image, found };
    if (other) offer(image, found);
    await draw(turn);
    facts();
    codes();
    ahead();
    root.dataset.shown = `${one.uid} ${frame}`;
  } catch (error) {
    if (turn !== state.turn) return;
    by("viewer-trouble").textContent = `${sentence(error.message)} ${error.cure ?? ""}`;
    by("viewer-trouble").hidden = false;
    state.shown = null;
    for (const pane of Object.values(panes)) pane.show(null, 1, 1, "");
    facts();
  }
}

function empty() {
  by("panes").classList.add("one");
  for (const name of ["decoded", "difference"]) by(name).closest("figure").hidden = true;
  panes.original.show(null, 1, 1, "This series has no pictures.\nIt is kept byte for byte and can be downloaded.");
  state.shown = null;
  facts();
}

function ahead() {
  for (let step = 1; step <= AHEAD; step += 1) for (const way of [step, -step]) {
    const next = state.places[state.at + way];
    if (next && step * state.shown.found.values.byteLength < 60e6) images.frame(next.one.uid, next.frame).catch(() => {});
  }
}

function title(name, head, text) { by(`${name}-title`).textContent = head; by(`${name}-words`).textContent = text; }

async function draw(turn = state.turn) {
  if (!state.shown) return;
  const { one, frame, image, found } = state.shown;
  sheet.width = found.columns;
  sheet.height = found.rows;
  const pen = sheet.getContext("2d"), target = pen.createImageData(found.columns, found.rows);
  paint(found, image, state.window, target);
  pen.putImageData(target, 0, 0);
  const { rows, columns } = found, compressed = one.state === "coded", lossy = changed(one.exact);
  by("panes").classList.toggle("one", !compressed);
  for (const name of ["decoded", "difference"]) by(name).closest("figure").hidden = !compressed;
  const came = image.loss && !lossy ? "Compressed with loss before it came. " : "";
  root.dataset.exact = compressed ? one.exact : one.state;
  if (!compressed) {
    title("original", "Original", one.state === "kept" ? `${came}Stored as received, byte for byte. ${one.reason_text}` : `${came}Stored as received; waiting to be compressed.`);
    panes.original.show(sheet, rows, columns, "", image.loss);
    return;
  }
  panes.decoded.show(sheet, rows, columns, "", image.loss || (lossy ? "lossy" : ""));
  if (!lossy) {
    title("original", "Original", `${came}Same values as the reconstruction, proven by SHA-256. Its file was released: both are drawn from one decoding.`);
    title("decoded", "Reconstruction", `Decoded just now from the compressed object (${size(one.after)}).`);
    title("difference", "Difference", "No value differs: digests were compared before the original went.");
    panes.original.show(sheet, rows, columns, "", image.loss);
    panes.difference.show(null, rows, columns, "No value differs");
    return;
  }
  title("decoded", "Reconstruction, lossy", `Values may differ from the original by up to ${one.quality?.max_error ?? "the bound"}.`);
  const kept = image.figures.find((figure) => figure.frame === frame);
  if (!kept) {
    const list = image.figures.map((figure) => `${figure.frame} (${figure.role})`).join(", ");
    title("original", "Original", "Gone: the profile is lossy.");
    title("difference", "Difference", "Cannot be drawn without the original.");
    panes.original.show(null, rows, columns, list ? `The original is gone.\nPictures were kept of frame ${list}.` : "The original is gone.");
    panes.difference.show(null, rows, columns, "");
    return;
  }
  title("original", "Original", "Gone; this picture was made before. It has the window of the file.");
  title("difference", "Difference", kept.max_error ? `Amplified ${kept.amplification.toFixed(0)} times; largest error ${kept.max_error}. Orange: too bright, blue: too dark.` : "No value differs.");
  for (const [name, which] of [["original", "original"], ["difference", "difference"]]) {
    const picture = await images.picture(`${images.at(one.uid)}/kept/${frame}/${which}.png`);
    if (turn !== state.turn) return;
    panes[name].show(picture, rows, columns);
  }
}

// ------------------------------------------------------------------ the window
function offer(image, found) {
  const colour = found.kind === "rgb8";
  const list = colour ? [{ name: "Colours as they are", level: 128, width: 256 }] : presets(image, found.values);
  state.presets = list;
  by("preset").replaceChildren(...list.map((one) => element("option", one.name)), element("option", "By hand", { hidden: "" }));
  for (const name of ["preset", "level", "width"]) by(name).disabled = colour;
  use(0);
}

function use(number) {
  const chosen = state.presets?.[number];
  if (!chosen) return;
  by("preset").selectedIndex = number;
  setWindow(chosen.level, chosen.width);
}

function setWindow(level, width, byHand = false) {
  state.window = { level, width: Math.max(width, 1e-3) };
  by("level").value = Math.round(level * 10) / 10;
  by("width").value = Math.round(state.window.width * 10) / 10;
  root.dataset.window = `${by("level").value}/${by("width").value}`;
  if (byHand) by("preset").selectedIndex = state.presets.length;
}

// ------------------------------------------------------------------ measures
async function measure() {
  const places = state.places, wanted = [...new Set(places.map(({ one }) => one))].filter((one) => one.frames > 1 && one.state === "coded" && !state.bits.has(one.uid));
  for (const one of wanted.slice(0, 20)) {
    try { state.bits.set(one.uid, await askJson(`${images.at(one.uid)}/measures.json`)); } catch { state.bits.set(one.uid, { bits: [], errors: {} }); }
  }
  const lossy = places.some(({ one }) => changed(one.exact));
  const error = (name) => places.map(({ one, frame }) => (!changed(one.exact) ? (one.state === "coded" ? (name === "ssim" ? 1 : 0) : null)
    : state.bits.get(one.uid)?.errors[name]?.[frame - 1] ?? (one.frames > 1 ? null : one.quality?.[name]) ?? null));
  const likeness = error("ssim"), known = likeness.every((value, number) => value !== null || places[number].one.state !== "coded");
  const errors = known ? likeness.map((value) => (value === null ? null : 1 - value)) : error("mse");
  const bits = places.map(({ one, frame }) => (one.state !== "coded" ? null
    : one.frames > 1 ? state.bits.get(one.uid)?.bits[frame - 1] ?? null : one.bits_per_pixel));
  const values = lossy ? errors : bits;
  state.worst = values.reduce((best, value, number) => (value !== null && (best < 0 || value > values[best]) ? number : best), -1);
  by("plot").hidden = places.length < 2 || state.worst < 0;
  by("worst").disabled = state.worst < 0;
  by("worst").textContent = state.worst < 0 ? "Worst frame" : lossy ? `Worst frame: ${state.worst + 1}` : `Hardest frame: ${state.worst + 1}`;
  by("worst").title = lossy ? "The frame with the largest error (w)" : "Nothing was lost; this frame took the most bits (w)";
  if (!by("plot").hidden) {
    const label = lossy ? (known ? "Unlikeness of each frame (1 − SSIM)" : "Mean squared error of each frame") : "Bits per pixel of each frame (no frame has an error)";
    by("plot").setAttribute("aria-label", label);
    state.plot = plot.frames(by("plot"), values, { marked: state.worst, label, most: lossy ? "worst" : "most", format: (value) => (value !== 0 && value < 0.01 ? value.toExponential(1) : value.toFixed(value < 10 ? 2 : 1)) });
    state.plot.go(state.at);
  }
  root.dataset.worst = state.worst + 1;
}

// ------------------------------------------------------------------ what is known of it
function words() {
  const { one, frame } = state.places[state.at];
  by("frame-words").textContent = `${state.at + 1} of ${state.places.length}${one.number !== null ? ` · image ${one.number}` : ""}${one.frames > 1 ? `, frame ${frame} of ${one.frames}` : ""}`;
}

function pair(list, name, value, kind) { if (value !== null && value !== undefined && value !== "") list.append(element("dt", name), element("dd", String(value), kind ? { class: kind } : {})); }

function facts() {
  const list = by("image-facts"), links = by("image-downloads");
  list.replaceChildren();
  links.replaceChildren();
  const one = state.places[state.at]?.one ?? series()?.instances[0], frame = state.places[state.at]?.frame ?? 1;
  if (!one) return;
  const promised = { "data-set": "lossless: every byte comes back", pixels: "lossless: every pixel comes back, the old packing does not", bounded: "lossy, within the bound", lossy: "lossy, as promised on every frame" };
  pair(list, "Kind", one.class);
  pair(list, "Size", one.rows ? `${one.columns} × ${one.rows}, ${one.bits_stored ?? "?"} bits${one.frames > 1 ? `, ${one.frames} frames` : ""}` : null);
  pair(list, "State", one.state === "coded" ? `compressed, ${promised[one.exact] ?? one.exact}` : one.state === "kept" ? `kept as received: ${one.reason_text}` : "waiting to be compressed");
  if (one.state === "coded") {
    pair(list, "Bytes", `${size(one.before)} → ${size(one.after)} (${ratio(one.before, one.after)})`);
    pair(list, "Bits per pixel", one.bits_per_pixel?.toFixed(3));
    pair(list, "Effort", [one.effort, one.seconds ? `${one.seconds.toFixed(1)} s` : ""].filter(Boolean).join(", "));
    const quality = one.quality;
    if (quality && !quality.identical) {
      pair(list, "Largest error", `${quality.max_error}${quality.max_error_rescaled !== null && quality.unit ? ` (${quality.max_error_rescaled} ${quality.unit})` : ""}`);
      pair(list, "PSNR", quality.psnr_db ? `${quality.psnr_db.toFixed(2)} dB` : null);
      pair(list, "SSIM", quality.ssim?.toFixed(5));
    } else if (quality) pair(list, "Error", "0, proven by digest");
    pair(list, "Model", one.model ? one.model.slice(0, 12) : "none", "uid");
  }
  pair(list, "Object UID", one.uid, "uid");
  const at = images.at(one.uid);
  const link = (text, url, named) => links.append(element("a", text, { class: "button", href: url, ...(named ? { id: named } : {}) }));
  link(changed(one.exact) ? "DICOM, lossy" : one.state === "coded" ? "Restored DICOM" : "DICOM as received", `${at}/restored.dcm`, "get-restored");
  if (one.state === "coded") link("Stored form", `${at}/stored.dcm`, "get-stored");
  if (one.picture) link("Frame as PNG, full depth", `${at}/frames/${frame}.png`, "get-png");
  if (one.picture) link("Compare with the seed's codec", `${at}/seed/${frame}`, "see-seed");
}

async function codes() {
  if (by("codes").hidden || !state.shown) return;
  const { one, frame } = state.shown;
  try {
    const found = await askJson(`${images.at(one.uid)}/codes/${frame}.json`);
    by("codes-words").textContent = found.words;
    const rows = found.tiles.map((tile, number) => {
      const row = element("tr");
      row.append(element("th", `tile ${number + 1}`, { scope: "row" }));
      if (tile.code) row.append(...tile.code.map((value) => element("td", value > 0 ? `+${value}` : String(value), { class: `code${value}` })));
      else row.append(element("td", "no code", { colspan: 16 }));
      row.append(element("td", `${tile.method}, ${size(tile.bytes)}`));
      return row;
    });
    by("codes-table").replaceChildren(...rows);
  } catch (error) {
    by("codes-words").textContent = `${sentence(error.message)} ${error.cure ?? ""}`;
    by("codes-table").replaceChildren();
  }
}

// ------------------------------------------------------------------ hands
function redraw() { draw(); }

function zoom(times, pane, event) {
  const before = event && pane.rows ? pane.pixel(event.clientX, event.clientY) : null;
  view.zoom = Math.min(40, Math.max(0.2, view.zoom * times));
  if (before) {
    const after = pane.pixel(event.clientX, event.clientY);
    view.x += (before.column - after.column) / pane.columns;
    view.y += (before.row - after.row) / pane.rows;
  }
  view.changed();
}

function full() {
  view.zoom = 1 / (panes.original.fit() * 1);
  view.changed();
}

for (const pane of Object.values(panes)) {
  const canvas = pane.canvas;
  let held = null;
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey) zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, pane, event);
    else if (event.deltaY) go(state.at + Math.sign(event.deltaY), false);
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    held = { x: event.clientX, y: event.clientY, move: event.shiftKey || event.button === 1, window: state.window && { ...state.window }, vx: view.x, vy: view.y };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const { column, row } = state.shown ? pane.pixel(event.clientX, event.clientY) : { column: -1, row: -1 };
    tell(column, row);
    if (state.lens) { view.lens = { column, row }; view.changed(); }
    if (!held) return;
    const dx = event.clientX - held.x, dy = event.clientY - held.y;
    if (held.move) {
      view.x = held.vx - dx / (pane.scale() * pane.columns);
      view.y = held.vy - dy / (pane.scale() * pane.rows);
      view.changed();
    } else if (state.shown && state.shown.found.kind !== "rgb8" && Math.abs(dx) + Math.abs(dy) > 2) {
      const step = Math.max(held.window.width, 20) / 300;
      setWindow(held.window.level + dy * step, Math.max(1, held.window.width + dx * step), true);
      redraw();
    }
  });
  for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => { held = null; });
  canvas.addEventListener("pointerleave", () => { by("pixel").textContent = ""; if (view.lens) { view.lens = null; view.changed(); } });
  canvas.addEventListener("keydown", keys);
}

function tell(column, row) {
  const shown = state.shown;
  if (!shown || column < 0 || row < 0 || column >= shown.found.columns || row >= shown.found.rows) { by("pixel").textContent = ""; return; }
  const place = row * shown.found.columns + column, { kind, values } = shown.found;
  if (kind === "rgb8") { by("pixel").textContent = `x ${column}, y ${row}: ${values[3 * place]}, ${values[3 * place + 1]}, ${values[3 * place + 2]}`; return; }
  const value = values[place], rescaled = toUnits(shown.image, value);
  by("pixel").textContent = `x ${column}, y ${row}: ${rescaled === value ? value : `${Math.round(rescaled * 10) / 10} ${shown.image.unit} (stored ${value})`}`;
}

function lens() {
  state.lens = !state.lens;
  by("magnify").setAttribute("aria-pressed", String(state.lens));
  view.lens = state.lens && state.shown ? { column: Math.floor(state.shown.found.columns / 2), row: Math.floor(state.shown.found.rows / 2) } : null;
  view.changed();
}

function base() {
  by("codes").hidden = !by("codes").hidden;
  by("base").setAttribute("aria-pressed", String(!by("codes").hidden));
  codes();
}

function worst() { if (state.worst >= 0) go(state.worst, false); }     // not known before the measures came

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=range]), select, textarea, summary")) return;
  const step = { ArrowDown: 1, ArrowRight: 1, PageDown: 10, ArrowUp: -1, ArrowLeft: -1, PageUp: -10 }[event.key];
  const acts = { w: worst, m: lens, b: base, "+": () => zoom(1.25), "-": () => zoom(0.8), "0": () => { view.reset(); view.changed(); },
    Home: () => go(0, false), End: () => go(state.places.length - 1, false) };
  if (event.target.type === "range" && (step || event.key === "Home" || event.key === "End")) return;
  if (step && event.target.closest("canvas, body")) { if (event.target.tagName !== "CANVAS" && event.target !== document.body) return; event.preventDefault(); go(state.at + step, false); } else if (acts[event.key]) { if (["Home", "End"].includes(event.key) && event.target.tagName !== "CANVAS") return; event.preventDefault(); acts[event.key](); }
  event.stopPropagation();
}

document.addEventListener("keydown", keys);
by("series").addEventListener("change", async () => { state.shown = null; view.reset(); fill(); await go(Math.floor(state.places.length / 2), true); measure(); });
by("frame").addEventListener("input", (event) => go(Number(event.target.value) - 1, false));
by("preset").addEventListener("change", (event) => { use(event.target.selectedIndex); redraw(); });
for (const name of ["level", "width"]) by(name).addEventListener("change", () => { setWindow(Number(by("level").value), Number(by("width").value), true); redraw(); });
by("fit").addEventListener("click", () => { view.reset(); view.changed(); });
by("full").addEventListener("click", full);
by("closer").addEventListener("click", () => zoom(1.25));
by("farther").addEventListener("click", () => zoom(0.8));
by("magnify").addEventListener("click", lens);
by("base").addEventListener("click", base);
by("worst").addEventListener("click", worst);
by("quality").addEventListener("click", (event) => { const asked = event.target.closest(".see-frame"); if (asked) see(asked.dataset.uid, Number(asked.dataset.frame)); });
if (by("again")) follow(by("again"));
by("plot").addEventListener("click", (event) => { const box = by("plot").getBoundingClientRect(); if (state.plot) go(state.plot.at((event.clientX - box.left) / box.width), false); });

open().catch((error) => { by("viewer-trouble").textContent = `${sentence(error.message)} ${error.cure ?? ""}`; by("viewer-trouble").hidden = false; });
