// Windows (brightness and contrast): presets for each modality, in the units of the modality.
const PRESETS = {
  CT: [["Soft tissue", 40, 400], ["Lung", -600, 1500], ["Bone", 400, 1800], ["Brain", 40, 80], ["Mediastinum", 50, 350], ["Liver", 60, 160]],
  PT: [["0 to 10", 5, 10]],
};

export function toUnits(image, value) { return value * (image.rescale_slope || 1) + (image.rescale_intercept || 0); }

export function presets(image, values) {
  const found = [];
  if (image.window_center !== null && image.window_width) found.push(["As the file says", image.window_center, Math.max(1, image.window_width)]);
  if (image.unit === "HU") found.push(...PRESETS.CT);
  else found.push(...(PRESETS[image.modality] ?? []));
  const [low, high] = spread(values, image.pixel_padding_value);
  const ends = [toUnits(image, low), toUnits(image, high)].sort((a, b) => a - b);
  found.push(["What is there (1 to 99 %)", (ends[0] + ends[1]) / 2, Math.max(1, ends[1] - ends[0])]);
  const range = extremes(values), all = [toUnits(image, range[0]), toUnits(image, range[1])].sort((a, b) => a - b);
  found.push(["Whole range", (all[0] + all[1]) / 2, Math.max(1, all[1] - all[0])]);
  return found.map(([name, level, width]) => ({ name, level, width }));
}

function extremes(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) { if (value < low) low = value; if (value > high) high = value; }
  return [low, high];
}

function spread(values, padding) {
  // Percentiles from a sample: enough for a window.
  const step = Math.max(1, Math.floor(values.length / 20000)), some = [];
  for (let place = 0; place < values.length; place += step) if (values[place] !== padding) some.push(values[place]);
  some.sort((a, b) => a - b);
  if (!some.length) return [0, 1];
  const low = some[Math.floor(some.length * 0.01)], high = some[Math.min(some.length - 1, Math.floor(some.length * 0.99))];
  return [low, high > low ? high : low + 1];
}

export function paint(frame, image, window_, target) {
  // Stored values through the window into RGBA; colours as they are.
  const { kind, values } = frame, out = new Uint32Array(target.data.buffer);
  if (kind === "rgb8") {
    for (let place = 0, from = 0; place < out.length; place += 1, from += 3) {
      out[place] = 0xff000000 | (values[from + 2] << 16) | (values[from + 1] << 8) | values[from];
    }
    return;
  }
  const shift = kind === "i16" ? 32768 : 0, table = new Uint32Array(kind === "u8" ? 256 : 65536);
  const low = window_.level - window_.width / 2, scale = 255 / window_.width;
  for (let place = 0; place < table.length; place += 1) {
    let grey = (toUnits(image, place - shift) - low) * scale;
    grey = grey < 0 ? 0 : grey > 255 ? 255 : Math.round(grey);
    if (image.inverted) grey = 255 - grey;
    table[place] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
  }
  for (let place = 0; place < out.length; place += 1) out[place] = table[values[place] + shift];
}
