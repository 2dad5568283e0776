// A pane draws one picture; all panes share one view (where, how large) and one lens.
export class View {
  constructor() { this.reset(); this.listeners = []; this.lens = null; }
  reset() { this.zoom = 1; this.x = 0.5; this.y = 0.5; }
  changed() { for (const listener of this.listeners) listener(); }
}

const LENS = 90, LENS_TIMES = 3;

export class Pane {
  constructor(canvas, view) {
    this.canvas = canvas;
    this.view = view;
    this.source = null;
    this.words = "";
    this.mark = "";
    this.name = canvas.getAttribute("aria-label");
    this.asked = false;
    view.listeners.push(() => this.draw());
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  // mark: "lossy 8:1" where what is shown was compressed with loss; it stays in the corner, however one zooms.
  show(source, rows, columns, words = "", mark = "") {
    this.source = source;
    this.mark = source ? mark : "";
    this.canvas.setAttribute("aria-label", this.mark ? `${this.name}, ${this.mark}` : this.name);
    this.canvas.dataset.mark = this.mark;
    this.rows = rows;
    this.columns = columns;
    this.words = words;
    this.draw();
  }

  fit() {
    const box = this.canvas.getBoundingClientRect();
    return Math.min(box.width / (this.columns || 1), box.height / (this.rows || 1)) || 1;
  }

  scale() { return this.fit() * this.view.zoom; }

  pixel(clientX, clientY) {
    const box = this.canvas.getBoundingClientRect(), scale = this.scale();
    return { column: Math.floor((clientX - box.left - box.width / 2) / scale + this.view.x * this.columns),
      row: Math.floor((clientY - box.top - box.height / 2) / scale + this.view.y * this.rows) };
  }

  draw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => { this.asked = false; this.paint(); });
  }

  paint() {
    const canvas = this.canvas, dots = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * dots), height = Math.round(canvas.clientHeight * dots);
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const pen = canvas.getContext("2d");
    pen.setTransform(dots, 0, 0, dots, 0, 0);
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    if (this.source) {
      this.place(pen, this.scale(), canvas.clientWidth / 2, canvas.clientHeight / 2, this.view.x, this.view.y);
      const lens = this.view.lens;
      if (lens) {
        const scale = this.scale();
        const x = canvas.clientWidth / 2 + (lens.column + 0.5 - this.view.x * this.columns) * scale, y = canvas.clientHeight / 2 + (lens.row + 0.5 - this.view.y * this.rows) * scale;
        pen.save();
        pen.beginPath();
        pen.arc(x, y, LENS, 0, 2 * Math.PI);
        pen.clip();
        pen.fillStyle = "#000";
        pen.fill();
        this.place(pen, scale * LENS_TIMES, x, y, (lens.column + 0.5) / this.columns, (lens.row + 0.5) / this.rows);
        pen.restore();
        pen.beginPath();
        pen.arc(x, y, LENS, 0, 2 * Math.PI);
        pen.strokeStyle = "#6cc5dd";
        pen.lineWidth = 1.5;
        pen.stroke();
      }
    }
    if (this.words) this.write(pen, canvas.clientWidth, canvas.clientHeight);
    if (this.mark) this.label(pen, canvas.clientWidth, canvas.clientHeight);
  }

  place(pen, scale, centreX, centreY, x, y) {
    pen.imageSmoothingEnabled = scale < 2.5;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(this.source, centreX - x * this.columns * scale, centreY - y * this.rows * scale, this.columns * scale, this.rows * scale);
  }

  label(pen, width, height) {
    pen.font = "600 14px system-ui, 'DejaVu Sans', sans-serif";
    pen.textAlign = "right";
    const wide = pen.measureText(this.mark).width + 16;
    pen.fillStyle = "#000";
    pen.fillRect(width - wide, height - 26, wide, 26);
    pen.strokeStyle = "#e6bd6a";
    pen.lineWidth = 1;
    pen.strokeRect(width - wide + 0.5, height - 25.5, wide - 1, 25);
    pen.fillStyle = "#f0d79c";
    pen.fillText(this.mark, width - 8, height - 8);
  }

  write(pen, width, height) {
    pen.font = "15px system-ui, 'DejaVu Sans', sans-serif";
    pen.textAlign = "center";
    pen.fillStyle = "#98a7b4";
    const lines = this.words.split("\n");
    lines.forEach((line, number) => pen.fillText(line, width / 2, height / 2 + (number - (lines.length - 1) / 2) * 24, width - 20));
  }
}
