// Small plots: a line of points over frames or hours, drawn as SVG.
import { svg } from "./common.js";

const W = 1000, WIDE = 640;

export function frames(place, values, options) {
  // A bar for each frame; `marked` is another colour, `here` is where the viewer stands.
  const { height = 44, marked = -1, label = "", most = "worst", format = (value) => value.toFixed(2) } = options;
  const known = values.filter((value) => value !== null && value !== undefined);
  const top = Math.max(...known, 1e-9), low = Math.min(...known, top);
  const base = low > top * 0.5 ? low - (top - low) * 0.35 - top * 0.01 : 0;
  const drawn = svg("svg", { viewBox: `0 0 ${W} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const step = W / values.length;
  values.forEach((value, number) => {
    if (value === null || value === undefined) return;
    const tall = Math.max(2, ((value - base) / Math.max(top - base, 1e-9)) * (height - 4));
    const bar = svg("rect", { x: (number * step + step * 0.06).toFixed(2), width: Math.max(0.6, step * 0.88).toFixed(2), y: (height - tall).toFixed(2), height: tall.toFixed(2),
      fill: number === marked ? "#e6bd6a" : "#3b6f80" });
    drawn.append(bar);
  });
  const here = svg("rect", { y: 1, height: height - 2, width: Math.max(2, step).toFixed(2), fill: "none", stroke: "#d7dfe6", "stroke-width": 1.5, "vector-effect": "non-scaling-stroke" });
  drawn.append(here);
  const words = document.createElement("div");
  words.className = "soft plot-words";
  words.textContent = known.length ? `${label}: ${format(low)} to ${format(top)}${marked >= 0 ? `; ${most} at ${marked + 1}` : ""}` : label;
  place.replaceChildren(words, drawn);
  return { go: (number) => here.setAttribute("x", (number * step).toFixed(2)), at: (x) => Math.min(values.length - 1, Math.max(0, Math.floor(x * values.length))) };
}

export function lines(place, series, { from, to, format }) {
  // series: [{points: [[x, y]], colour}]
  const height = 170, bottom = 22, left = 62;
  const all = series.flatMap(({ points }) => points.map(([, y]) => y));
  const top = Math.max(...all, 1);
  const drawn = svg("svg", { viewBox: `0 0 ${WIDE} ${height}`, "aria-hidden": "true" });
  const x = (value) => left + ((value - from) / Math.max(1, to - from)) * (WIDE - left - 8), y = (value) => height - bottom - (value / top) * (height - bottom - 12);
  for (const share of [0, 0.5, 1]) {
    drawn.append(svg("line", { x1: left, x2: WIDE - 8, y1: y(top * share), y2: y(top * share), stroke: "#2a3640" }));
    const words = svg("text", { x: left - 8, y: y(top * share) + 4, fill: "#98a7b4", "font-size": 13, "text-anchor": "end" });
    words.textContent = format(top * share);
    drawn.append(words);
  }
  for (let number = 0; number <= 4; number += 1) {
    const at = from + ((to - from) * number) / 4;
    const words = svg("text", { x: x(at), y: height - 4, fill: "#98a7b4", "font-size": 13, "text-anchor": number === 0 ? "start" : number === 4 ? "end" : "middle" });
    const date = new Date(at * 1000), two = (value) => String(value).padStart(2, "0");
    words.textContent = to - from > 2 * 86400 ? `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}` : `${two(date.getHours())}:${two(date.getMinutes())}`;
    drawn.append(words);
  }
  for (const { points, colour } of series) {
    if (!points.length) continue;
    if (points.length === 1) drawn.append(svg("circle", { cx: x(points[0][0]), cy: y(points[0][1]), r: 4, fill: colour }));
    drawn.append(svg("polyline", { points: points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" "), fill: "none", stroke: colour, "stroke-width": 2 }));
  }
  if (!all.length) {
    const words = svg("text", { x: WIDE / 2, y: height / 2, fill: "#98a7b4", "text-anchor": "middle", "font-size": 15 });
    words.textContent = "Nothing yet.";
    drawn.append(words);
  }
  place.replaceChildren(drawn);
}
