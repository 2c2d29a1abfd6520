// Pictures of our own: the speed of the last minutes, and the pieces of a file.

const SVG = "http://www.w3.org/2000/svg";
const SAMPLES = 300;

/** The speed as an area; `push` a number a second. */
export class SpeedPlot {
  constructor(label) {
    this.values = [];
    this.element = document.createElementNS(SVG, "svg");
    this.element.setAttribute("viewBox", "0 0 300 60");
    this.element.setAttribute("preserveAspectRatio", "none");
    this.element.setAttribute("role", "img");
    this.element.setAttribute("aria-label", label);
    this.element.setAttribute("class", "plot");
    this.area = document.createElementNS(SVG, "path");
    this.area.setAttribute("class", "plot-area");
    this.line = document.createElementNS(SVG, "path");
    this.line.setAttribute("class", "plot-line");
    this.element.append(this.area, this.line);
  }

  set(values) {
    this.values = [...new Array(SAMPLES).fill(0), ...values].slice(-SAMPLES);
    this.draw();
  }

  push(value) {
    this.values.push(value);
    if (this.values.length > SAMPLES) this.values.shift();
    this.draw();
  }

  get highest() {
    return Math.max(0, ...this.values);
  }

  draw() {
    const high = Math.max(this.highest, 1);
    const start = SAMPLES - this.values.length;
    const points = this.values.map((value, index) => `${start + index} ${(57 - (value / high) * 52).toFixed(1)}`);
    const path = points.length ? `M${points.join("L")}` : "";
    this.line.setAttribute("d", path);
    this.area.setAttribute("d", path ? `${path}L${SAMPLES} 60L${start} 60Z` : "");
  }
}

/** Draw a digit a piece into a canvas of one pixel a piece; the style sheet stretches it. */
export function drawPieces(canvas, pieces, colour) {
  if (canvas.dataset.pieces === pieces + colour) return;
  canvas.dataset.pieces = pieces + colour;
  canvas.width = Math.max(1, pieces.length);
  canvas.height = 1;
  const context = canvas.getContext("2d");
  context.fillStyle = colour;
  for (let index = 0; index < pieces.length; index += 1) {
    context.globalAlpha = Number(pieces[index]) / 9;
    if (context.globalAlpha) context.fillRect(index, 0, 1, 1);
  }
}
