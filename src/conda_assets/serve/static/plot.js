// Pictures of our own: the speed of the last minutes, and the pieces of a file.

import { fill, h, say } from "./dom.js";
import { rate, size, t } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const SAMPLES = 300;

/** The speed as an area; `push` a number a second. */
export class SpeedPlot {
  constructor(label) {
    this.values = [];
    this.picture = document.createElementNS(SVG, "svg");
    this.picture.setAttribute("viewBox", "0 0 300 60");
    this.picture.setAttribute("preserveAspectRatio", "none");
    this.picture.setAttribute("role", "img");
    this.picture.setAttribute("aria-label", label);
    this.picture.setAttribute("class", "plot");
    this.peak = h("span", { class: "plot-peak" });
    this.element = h("div", { class: "plot-frame" }, this.picture, this.peak, h("span", { class: "plot-since" }, t("fiveMinutes")));
    this.area = document.createElementNS(SVG, "path");
    this.area.setAttribute("class", "plot-area");
    this.line = document.createElementNS(SVG, "path");
    this.line.setAttribute("class", "plot-line");
    this.picture.append(this.area, this.line);
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
    say(this.peak, this.highest ? t("peak", rate(this.highest)) : "");
    const start = SAMPLES - this.values.length;
    const points = this.values.map((value, index) => `${start + index} ${(57 - (value / high) * 52).toFixed(1)}`);
    const path = points.length ? `M${points.join("L")}` : "";
    this.line.setAttribute("d", path);
    this.area.setAttribute("d", path ? `${path}L${SAMPLES} 60L${start} 60Z` : "");
  }
}

/** The pieces of a file, a cell each, as full as they are; and the same in words. */
export class PieceMap {
  constructor() {
    this.cells = h("div", { class: "map-cells", role: "img" });
    this.words = h("p", { class: "hint" });
    this.element = h("div", { class: "map" }, h("h4", {}, t("pieces")), this.cells, this.words);
  }

  show(job) {
    this.element.hidden = !job.pieces;
    if (!job.pieces || this.look === job.pieces) return;
    this.look = job.pieces;
    const levels = [...job.pieces];
    const words = t("piecesThere", levels.filter((each) => each === "9").length, levels.length, job.size_bytes ? size(Math.ceil(job.size_bytes / levels.length)) : "");
    this.cells.setAttribute("aria-label", words);
    say(this.words, words);
    if (this.cells.children.length !== levels.length) fill(this.cells, levels.map(() => h("span")));
    levels.forEach((each, index) => {
      this.cells.children[index].dataset.full = each;
    });
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
