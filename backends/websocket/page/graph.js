// The last minute of reading and writing, drawn twice a second. Two areas over one scale; the scale is written
// beside, the rest of the numbers stand as text next to the canvas.

const points = 120; // of half a second

export class RateGraph {
  #canvas;
  #reads = new Float64Array(points);
  #writes = new Float64Array(points);
  #top = 0;

  constructor(canvas) {
    this.#canvas = canvas;
  }

  // Bytes per second, of the half second that has passed.
  add(read, written) {
    this.#reads.copyWithin(0, 1);
    this.#writes.copyWithin(0, 1);
    this.#reads[points - 1] = read;
    this.#writes[points - 1] = written;
    this.#top = Math.max(...this.#reads, ...this.#writes);
  }

  // The highest rate of this minute: what the top line stands for.
  get top() {
    return this.#top;
  }

  draw() {
    const { context, width, height } = prepared(this.#canvas);
    const style = getComputedStyle(this.#canvas);
    context.strokeStyle = style.getPropertyValue('--line');
    context.lineWidth = 1;
    for (const share of [0, 0.5, 1]) line(context, width, Math.round(share * (height - 1)) + 0.5);
    const top = Math.max(this.#top, 1);
    this.#area(context, this.#reads, top, width, height, style.getPropertyValue('--read'));
    this.#area(context, this.#writes, top, width, height, style.getPropertyValue('--written'));
  }

  #area(context, values, top, width, height, color) {
    if (values.every((value) => value === 0)) return;
    const x = (i) => (i / (points - 1)) * width;
    const y = (value) => height - 1 - (value / top) * (height - 3);
    context.beginPath();
    context.moveTo(0, y(values[0]));
    values.forEach((value, i) => context.lineTo(x(i), y(value)));
    context.strokeStyle = color;
    context.lineWidth = 1.5;
    context.lineJoin = 'round';
    context.stroke();
    context.lineTo(width, height);
    context.lineTo(0, height);
    context.globalAlpha = 0.14;
    context.fillStyle = color;
    context.fill();
    context.globalAlpha = 1;
  }
}

function line(context, width, y) {
  context.beginPath();
  context.moveTo(0, y);
  context.lineTo(width, y);
  context.stroke();
}

// Cleared, in CSS pixels, sharp on every screen.
export function prepared(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const density = globalThis.devicePixelRatio ?? 1;
  if (canvas.width !== Math.round(width * density) || canvas.height !== Math.round(height * density)) {
    canvas.width = Math.round(width * density);
    canvas.height = Math.round(height * density);
  }
  const context = canvas.getContext('2d');
  context.setTransform(density, 0, 0, density, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}
