// Frames from the node, the last ones kept; what comes next is fetched ahead.
import { ask, askJson } from "./common.js";

const MOST_BYTES = 400e6;
const KINDS = { u8: Uint8Array, rgb8: Uint8Array, u16: Uint16Array, i16: Int16Array };

export class Images {
  constructor(study) {
    this.base = `/studies/${encodeURIComponent(study)}/instances`;
    this.frames = new Map();
    this.facts = new Map();
    this.bytes = 0;
  }

  at(uid) { return `${this.base}/${encodeURIComponent(uid)}`; }

  image(uid) {
    if (!this.facts.has(uid)) {
      const asked = askJson(`${this.at(uid)}/image.json`);
      asked.catch(() => this.facts.delete(uid));
      this.facts.set(uid, asked);
    }
    return this.facts.get(uid);
  }

  frame(uid, number) {
    const name = `${uid} ${number}`;
    const known = this.frames.get(name);
    if (known) { this.frames.delete(name); this.frames.set(name, known); return known.asked; }
    const entry = { bytes: 0 };
    entry.asked = this.load(uid, number).then((frame) => {
      entry.bytes = frame.values.byteLength;
      this.bytes += entry.bytes;
      for (const [old, kept] of this.frames) {
        if (this.bytes <= MOST_BYTES || old === name) break;
        this.frames.delete(old);
        this.bytes -= kept.bytes;
      }
      return frame;
    });
    entry.asked.catch(() => this.frames.delete(name));
    this.frames.set(name, entry);
    return entry.asked;
  }

  async load(uid, number) {
    const response = await ask(`${this.at(uid)}/frames/${number}.bin`);
    const kind = response.headers.get("X-Kind");
    return { kind, rows: Number(response.headers.get("X-Rows")), columns: Number(response.headers.get("X-Columns")),
      values: new KINDS[kind](await response.arrayBuffer()) };
  }

  forget(uid) { this.facts.delete(uid); }

  picture(url) {
    return new Promise((done, failed) => {
      const made = new Image();
      made.addEventListener("load", () => done(made));
      made.addEventListener("error", () => failed(new Error("The picture could not be loaded.")));
      made.src = url;
    });
  }
}
