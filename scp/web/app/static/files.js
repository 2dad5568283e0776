// Files that were dropped or chosen, folders walked through.
const PICTURE = /\.(png|jpe?g|tiff?)$/i;

export const isPicture = (file) => PICTURE.test(file.name) || /^image\/(png|jpeg|tiff)$/.test(file.type);

async function entries(reader) {
  const all = [];
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return all;
    all.push(...some);
  }
}

async function walk(entry, path, found) {
  if (entry.isFile) {
    const file = await new Promise((done, failed) => entry.file(done, failed));
    found.push({ file, name: path + entry.name });
  } else if (entry.isDirectory) {
    for (const child of await entries(entry.createReader())) await walk(child, `${path}${entry.name}/`, found);
  }
}

export async function dropped(transfer) {
  const roots = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const found = [];
  if (roots.length) for (const root of roots) await walk(root, "", found);
  else for (const file of transfer.files) found.push({ file, name: file.name });
  return found;
}

export const chosen = (list) => [...list].map((file) => ({ file, name: file.webkitRelativePath || file.name }));
