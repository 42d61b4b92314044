// Thousands of sprites as the pixels they colour: setting those is many times quicker than as many copies by a canvas.
const BYTE = 255; // the bits of a colour, and its most
const COLOUR = 0xffffff; // without alpha, which is the highest byte

/** One sprite: how far from its corner each pixel is that it colours (opaque ones, and those at its edge), and the colours. */
function dotsOf(picture, across, part) {
  const { width, height } = picture;
  const ink = new Uint32Array(picture.getContext("2d").getImageData(0, 0, width, height).data.buffer);
  const [solidAt, solidInk, softAt, softInk] = [[], [], [], []];
  ink.forEach((colour, n) => {
    const alpha = Math.round((colour >>> 24) * part);
    const at = Math.floor(n / width) * across + (n % width);
    if (alpha === BYTE) { solidAt.push(at); solidInk.push(colour); }
    else if (alpha) { softAt.push(at); softInk.push((colour & COLOUR) | (alpha << 24)); }
  });
  return { width, height, solidAt: Int32Array.from(solidAt), solidInk: Uint32Array.from(solidInk),
    softAt: Int32Array.from(softAt), softInk: Uint32Array.from(softInk) };
}

/** One see-through pixel over another, neither of them premultiplied. */
function mixed(over, below) {
  const alpha = over >>> 24;
  const rest = ((below >>> 24) * (BYTE - alpha)) / BYTE;
  const share = rest / (alpha + rest);
  const between = (one, two) => one + (two - one) * share + 0.5;
  return ((alpha + rest + 0.5) << 24)
    | (between((over >> 16) & BYTE, (below >> 16) & BYTE) << 16)
    | (between((over >> 8) & BYTE, (below >> 8) & BYTE) << 8)
    | between(over & BYTE, below & BYTE);
}

/** A sheet of the size of a canvas, on which sprites are put down by number. */
export class Crowd {
  /** `pictures`: small canvases; what is put down with `isFaint` lets half of what is below through. */
  constructor(context, pictures) {
    const { width, height } = context.canvas;
    Object.assign(this, { width, height, pictures, faint: [], full: [] });
    this.image = context.createImageData(width, height);
    this.ink = new Uint32Array(this.image.data.buffer);
  }

  fits({ canvas }, pictures) { return canvas.width === this.width && canvas.height === this.height && pictures === this.pictures; }

  clear() { this.ink.fill(0); }

  /** The corner in whole pixels. What is not wholly on the sheet is left out: sheets reach beyond what is seen. */
  put(number, left, top, isFaint) {
    const kept = isFaint ? this.faint : this.full;
    const dots = kept[number] ??= dotsOf(this.pictures[number], this.width, isFaint ? 0.5 : 1);
    if (left < 0 || top < 0 || left + dots.width > this.width || top + dots.height > this.height) return;
    this.#print(dots, top * this.width + left);
  }

  #print({ solidAt, solidInk, softAt, softInk }, corner) {
    const { ink } = this;
    for (let n = 0; n < solidAt.length; n++) ink[corner + solidAt[n]] = solidInk[n];
    for (let n = 0; n < softAt.length; n++) {
      const at = corner + softAt[n];
      const below = ink[at];
      ink[at] = below ? mixed(softInk[n], below) : softInk[n];
    }
  }

  show(context) { context.putImageData(this.image, 0, 0); }
}
