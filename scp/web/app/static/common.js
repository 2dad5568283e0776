// What all pages' scripts share: requests with the form's key, and figures in words.
const key = document.querySelector('meta[name="form-key"]')?.content ?? "";

export class Problem extends Error {
  constructor(status, message, cure) {
    super(message);
    this.status = status;
    this.cure = cure ?? "";
  }
}

export async function problemOf(response) {
  let told = {};
  try { told = await response.json(); } catch { /* not ours */ }
  return new Problem(response.status, told.error ?? `The node answered ${response.status}.`, told.cure);
}

export async function ask(url, options = {}) {
  const headers = { "X-Form-Key": key, ...(options.headers ?? {}) };
  const response = await fetch(url, { credentials: "same-origin", ...options, headers });
  if (!response.ok) throw await problemOf(response);
  return response;
}

export async function askJson(url, options) {
  return (await ask(url, options)).json();
}

export function postJson(url, value) {
  return askJson(url, { method: "POST", body: JSON.stringify(value), headers: { "Content-Type": "application/json" } });
}

export function formKey() { return key; }

export function size(count) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let value = count, place = 0;
  while (Math.abs(value) >= 999.5 && place < units.length - 1) { value /= 1000; place += 1; }
  if (place === 0) return `${count} bytes`;
  const digits = Math.abs(value) < 9.995 ? 2 : Math.abs(value) < 99.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${units[place]}`;
}

export function ratio(before, after) { return after ? `${(before / after).toFixed(2)} : 1` : "–"; }

export function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = text;
  for (const [key_, value] of Object.entries(attributes)) made.setAttribute(key_, value);
  return made;
}

export function svg(name, attributes = {}) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key_, value] of Object.entries(attributes)) made.setAttribute(key_, value);
  return made;
}

export const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".") : "");
