// Uploading: a request per file, a few at a time; a bad file does not stop the others.
import { askJson, element, formKey, postJson, ratio, sentence, size } from "./common.js";
import { chosen, dropped, isPicture } from "./files.js";
import { follow } from "./promise.js";

const AT_ONCE = 3;
const EVERY = 1000;
const MOST_MESSAGES = 500;
const by = (id) => document.getElementById(id);
const form = by("upload"), person = by("person"), drop = by("drop");
const largest = Number(form.dataset.largest);
let files = [], running = null;

function choose(found) {
  files = found;
  const bytes = found.reduce((sum, { file }) => sum + file.size, 0);
  const pictures = found.filter(({ file }) => isPicture(file)).length;
  by("chosen").textContent = found.length
    ? `${found.length} ${found.length === 1 ? "file" : "files"}, ${size(bytes)}${pictures ? `, ${pictures} of them pictures` : ""}.` : "Nothing chosen yet.";
  person.hidden = !pictures;
  for (const name of ["patient_name", "patient_id"]) form.elements[name].required = pictures > 0;
  by("send").disabled = !found.length;
}

by("files").addEventListener("change", (event) => choose(chosen(event.target.files)));
by("folder").addEventListener("change", (event) => choose(chosen(event.target.files)));
for (const kind of ["dragenter", "dragover"]) {
  drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
drop.addEventListener("dragleave", (event) => { if (!drop.contains(event.relatedTarget)) drop.classList.remove("over"); });
drop.addEventListener("drop", async (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  by("chosen").textContent = "Reading the folder…";
  choose(await dropped(event.dataTransfer));
});
for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());
follow(form);

const day = (value) => value.replaceAll("-", "");

function sendOne(upload, { file, name }, progress) {
  return new Promise((done) => {
    const request = new XMLHttpRequest();
    running.requests.add(request);
    request.open("POST", `/uploads/${encodeURIComponent(upload)}/files?name=${encodeURIComponent(name)}`);
    request.setRequestHeader("X-Form-Key", formKey());
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => progress(event.loaded));
    const failed = (message) => ({ counts: { failed: 1 }, studies: [], items: [{ name, outcome: "failed", message }] });
    const end = (answer) => { running?.requests.delete(request); progress(file.size); done(answer); };
    request.addEventListener("load", () => {
      if (request.status === 200) return end(request.response);
      const told = request.response ?? {};
      return end(failed(`${sentence(told.error ?? `The node answered ${request.status}.`)} ${told.cure ? `What to do: ${told.cure}` : ""}`));
    });
    request.addEventListener("error", () => end(failed("The connection broke. What to do: upload this file again.")));
    request.addEventListener("abort", () => end(failed("Stopped before it was sent.")));
    request.send(file);
  });
}

function tell(items) {
  const list = by("message-list");
  for (const item of items) {
    if (!item.message || list.childElementCount >= MOST_MESSAGES) continue;
    const line = element("li", null, { class: item.outcome });
    line.append(element("strong", item.name), ` ${item.outcome === "failed" ? "was not stored. " : ""}${item.message}`);
    list.append(line);
    by("messages").hidden = false;
  }
}

async function watch(upload, sending) {
  for (;;) {
    let now = null;
    const still = sending();        // asked before: what arrives while the node answers is looked at next time
    try { now = await askJson(`/uploads/${encodeURIComponent(upload)}.json`); } catch { /* tried again */ }
    if (now) {
      by("coded").max = Math.max(1, now.instances);
      by("coded").value = now.coded;
      by("coded-words").textContent = now.instances ? `${now.coded} of ${now.instances} objects, ${size(now.bytes_before)} → ${size(now.bytes_after)} (${ratio(now.bytes_before, now.bytes_after)})` : "";
      const list = by("studies-made");
      list.replaceChildren(...now.studies.map((study) => {
        const line = element("li");
        line.append(element("a", study.name.replaceAll("^", " ").trim() || "no name", { href: `/studies/${encodeURIComponent(study.uid)}` }),
          ` ${study.description} · ${study.pending ? `compressing, ${study.pending} left` : `done, ${ratio(study.bytes_before, study.bytes_after)}`}`);
        return line;
      }));
      if (!still && !now.pending) { tell(now.remarks); return; }
    }
    await new Promise((done) => setTimeout(done, EVERY));
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const values = Object.fromEntries(["patient_name", "patient_id", "patient_sex", "study_description"].map((name) => [name, form.elements[name].value]));
  const began = { ...values, patient_birth_date: day(form.elements.patient_birth_date.value), study_date: day(form.elements.study_date.value),
    profile: form.elements.profile.value, figure: form.elements.figure.value, value: form.elements.value.value, pictures: !person.hidden };
  by("message-list").replaceChildren();
  by("messages").hidden = true;
  by("outcome").textContent = "";
  let upload;
  try { upload = (await postJson("/uploads", began)).id; } catch (error) {
    by("outcome").textContent = `${sentence(error.message)} ${error.cure}`;
    return;
  }
  by("send").disabled = true;
  by("stop").hidden = false;
  by("going").hidden = false;
  running = { requests: new Set(), stopped: false };
  const total = files.reduce((sum, { file }) => sum + file.size, 0), sent = new Map(), counts = { arrived: 0, same: 0, skipped: 0, failed: 0 };
  by("sent").max = Math.max(1, total);
  let open = true;
  const shown = (name, count) => {
    sent.set(name, count);
    const sum = [...sent.values()].reduce((a, b) => a + b, 0);
    by("sent").value = sum;
    by("sent-words").textContent = `${size(Math.min(sum, total))} of ${size(total)}`;
  };
  const watching = watch(upload, () => open);
  const queue = [...files];
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let next = queue.shift(); next && !running.stopped; next = queue.shift()) {
      const item = next;
      const answer = item.file.size > largest
        ? { counts: { failed: 1 }, items: [{ name: item.name, outcome: "failed", message: `The file has ${size(item.file.size)}; one request takes ${size(largest)}. What to do: send it over DICOM.` }] }
        : await sendOne(upload, item, (count) => shown(item.name, Math.min(count, item.file.size)));
      for (const [word, count] of Object.entries(answer.counts)) counts[word] += count;
      tell(answer.items);
    }
  }));
  open = false;
  by("stop").hidden = true;
  const stopped = running.stopped ? `Stopped; ${queue.length} files were not sent. ` : "";
  by("outcome").textContent = `${stopped}${counts.arrived} stored${counts.same ? `, ${counts.same} were here already` : ""}${counts.skipped ? `, ${counts.skipped} skipped` : ""}${counts.failed ? `, ${counts.failed} failed (see below)` : ""}.`;
  by("send").disabled = false;
  await watching;
  by("outcome").textContent += counts.arrived ? " Everything is done." : "";
  form.dataset.finished = "yes";
});

by("stop").addEventListener("click", () => {
  running.stopped = true;
  for (const request of [...running.requests]) request.abort();
});
