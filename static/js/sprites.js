// Vehicles and pins drawn once per look and heading, then blitted: thousands of them cost a copy each.
import { WORST } from "fc/cells";
import { Crowd } from "fc/crowd";
import { onTheme, colour } from "fc/theme";
import { MARK, STATE } from "fc/wire";

const HEADINGS = 32;
const SIZE = 30;
const CROWDED = 400; // pixels of the canvas for each sprite: with fewer, it is quicker to set them than to copy sprites
const MOST_SPRITES = 1000; // figures of cells are many: begin anew before they fill the memory
const cache = new Map();
const stamps = new Map(); // by ratio
let crowd = null; // of the last canvas with so many
const OFFLINE = STATE.OFFLINE;
const PIN_TONES = ["ok", "chg", "warn", "bad", "off"];
const path = (text) => new Path2D(text);
const ARROW = path("M0-8.5 6.3 6.5 0 3.3-6.3 6.5z");
const TRIANGLE = path("M0-9.5 9 6.5H-9z");
const BOLT = path("M1-4.6-3 .9H0L-1 4.6 3-.9H0z");
const PIN_GLYPHS = {
  ok: path("m-3.2 .2 2.2 2.2 4.2-4.6"), chg: path("M.8-4.6-2.8 .9H0L-.8 4.6 2.8-.9H0z"),
  warn: path("M0-2.8V.3L2.2 1.7"), bad: path("M0-4V1M0 3.5V3.7"), off: path("M-3 3 3-3"),
};
onTheme(() => { cache.clear(); stamps.clear(); crowd = null; });

function sprite(key, width, height, ratio, paint) {
  const id = `${key}@${ratio}`;
  if (!cache.has(id)) {
    if (cache.size >= MOST_SPRITES) cache.clear();
    const canvas = document.createElement("canvas");
    canvas.width = Math.ceil(width * ratio);
    canvas.height = Math.ceil(height * ratio);
    // Read back by the CPU: blitting an accelerated canvas to another costs ten times as much.
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.scale(ratio, ratio);
    context.lineJoin = context.lineCap = "round";
    paint(context);
    cache.set(id, canvas);
  }
  return cache.get(id);
}

const LOOKS = ["parked", "driving", "charging", "offline", "low"];
const LOW = LOOKS.indexOf("low");
const TURNED = LOOKS.indexOf("driving");

/** Pictures by look and heading in one row: an array is quicker to ask than a name. */
function vehicleSprites(ratio) {
  return LOOKS.flatMap((look, n) => Array.from({ length: HEADINGS }, (_, turn) => sprite(`v:${look}:${n === TURNED ? turn : 0}`, SIZE, SIZE, ratio, (context) => {
    context.translate(SIZE / 2, SIZE / 2);
    PAINT[look](context, turn);
  })));
}

const PAINT = {
  driving(context, turn) {
    context.rotate((turn / HEADINGS) * 2 * Math.PI);
    context.scale(1.14, 1.14);
    filled(context, ARROW, colour("--ok"), colour("--surface"), 1.7);
  },
  parked(context) {
    context.beginPath();
    context.arc(0, 0, 5.6, 0, 7);
    paint(context, colour("--ok"), colour("--surface"), 1.8);
  },
  charging(context) {
    context.beginPath();
    context.roundRect(-7.5, -7.5, 15, 15, 4.5);
    paint(context, colour("--chg"), colour("--surface"), 1.7);
    context.fillStyle = colour("--surface");
    context.fill(BOLT);
  },
  offline(context) {
    context.beginPath();
    context.arc(0, 0, 6.5, 0, 7);
    paint(context, colour("--surface"), colour("--off"), 2.2);
    context.beginPath();
    context.moveTo(-3, 3);
    context.lineTo(3, -3);
    context.stroke();
  },
  low(context) {
    filled(context, TRIANGLE, colour("--bad"), colour("--surface"), 1.7);
    context.strokeStyle = colour("--surface");
    context.lineWidth = 1.8;
    context.stroke(path("M0-3.5V1.5M0 3.8V4"));
  },
};

function paint(context, fill, line, width) {
  context.fillStyle = fill;
  context.fill();
  context.strokeStyle = line;
  context.lineWidth = width;
  context.stroke();
}

function filled(context, shape, fill, line, width) {
  context.fillStyle = fill;
  context.fill(shape);
  context.strokeStyle = line;
  context.lineWidth = width;
  context.stroke(shape);
}

/** All of a table that are in view, those that need charge above the others, on whole pixels: they are copied as they are. */
export function drawVehicles(context, table, view) {
  if (!stamps.has(view.ratio)) stamps.set(view.ratio, vehicleSprites(view.ratio));
  const pictures = stamps.get(view.ratio);
  const { width, height } = context.canvas;
  const isCrowded = table.count * CROWDED > width * height;
  if (!isCrowded) crowd = null;
  (isCrowded ? drawCrowd : drawFew)(context, table, view, pictures);
  return table.count > 0;
}

function drawFew(context, table, view, pictures) {
  let alpha = 1;
  eachInView(table, view, (number, left, top, isFaint) => {
    const wanted = isFaint ? 0.5 : 1;
    if (wanted !== alpha) context.globalAlpha = alpha = wanted;
    context.drawImage(pictures[number], left / view.ratio, top / view.ratio, SIZE, SIZE);
  });
  context.globalAlpha = 1;
}

function drawCrowd(context, table, view, pictures) {
  if (!crowd?.fits(context, pictures)) crowd = new Crowd(context, pictures);
  crowd.clear();
  eachInView(table, view, (number, left, top, isFaint) => crowd.put(number, left, top, isFaint));
  crowd.show(context);
}

/** Calls `put(number of the picture, left, top, isFaint)` in whole pixels of the canvas; those that need charge last. */
function eachInView(table, view, put) {
  for (const isLow of [false, true]) eachOf(table, view, isLow ? MARK.LOW : 0, put);
}

function eachOf({ count, x, y, a, d }, { scale, left, top, width, height, ratio }, low, put) {
  for (let n = 0; n < count; n++) {
    if ((d[n] & MARK.LOW) !== low) continue;
    const px = x[n] * scale - left;
    const py = y[n] * scale - top;
    if (px < -16 || py < -16 || px > width + 16 || py > height + 16) continue;
    const look = low ? LOW : Math.min(d[n] & 0x0f, OFFLINE);
    const number = look * HEADINGS + (look === TURNED ? ((a[n] + 4) >> 3) & (HEADINGS - 1) : 0);
    put(number, Math.round((px - SIZE / 2) * ratio), Math.round((py - SIZE / 2) * ratio), !low && (d[n] & MARK.STALE) !== 0);
  }
}

export const pinBox = (isBig) => (isBig ? { width: 58, height: 26 } : { width: 50, height: 22 });
export const toneOf = (worst) => PIN_TONES[worst] ?? "off";

/** A pin that speaks: glyph and free/total; its foot is at (x, y). A dashed edge: the word is not live (1 recent, 2 stale, 3 none). */
export function drawPin(context, x, y, tone, text, isBig, ratio, fresh = 0) {
  const { width, height } = pinBox(isBig);
  const w = width + 6;
  const tall = height + 10;
  const image = sprite(`p:${tone}:${text}:${isBig}:${fresh > 0}`, w, tall, ratio, (pen) => {
    pen.translate(w / 2, tall - 2);
    pinShape(pen, tone, text, isBig, width, height, fresh > 0);
  });
  context.drawImage(image, Math.round(x - w / 2), Math.round(y - tall + 2), w, tall); // whole pixels: figures stay sharp
}

function pinShape(pen, tone, text, isBig, width, height, isOld) {
  const ink = colour(`--${tone}`);
  const ground = colour("--raised");
  pen.fillStyle = ink;
  pen.fill(path("M-4-6 0 0 4-6z"));
  pen.beginPath();
  pen.roundRect(-width / 2, -height - 5, width, height, height / 2);
  if (isOld) pen.setLineDash([3, 2.5]);
  paint(pen, isBig ? ink : ground, ink, 1.6);
  pen.setLineDash([]);
  pen.save();
  pen.translate(-width / 2 + height / 2 + 0.5, -height / 2 - 5);
  pinGlyph(pen, tone, height / 2 - 3.5, ink);
  pen.restore();
  pen.font = `600 ${isBig ? 12.5 : 11.5}px ${CELL_FONT}`;
  pen.textAlign = "center";
  pen.fillStyle = isBig ? ground : colour("--text");
  pen.fillText(text, height / 2 - 2, -height / 2 - 0.8, width - height - 4);
}

function pinGlyph(pen, tone, radius, ink) {
  pen.beginPath();
  pen.arc(0, 0, radius, 0, 7);
  pen.fillStyle = ink;
  pen.fill();
  pen.strokeStyle = pen.fillStyle = colour("--raised");
  pen.lineWidth = 1.7;
  if (tone === "chg") pen.fill(PIN_GLYPHS.chg);
  else pen.stroke(PIN_GLYPHS[tone]);
}

/** A site too close to another for a pin of its own. */
export function drawDot(context, x, y, tone, ratio) {
  const image = sprite(`d:${tone}`, 14, 14, ratio, (pen) => {
    pen.translate(7, 7);
    pen.beginPath();
    pen.arc(0, 0, 4.2, 0, 7);
    paint(pen, tone === "off" ? colour("--raised") : colour(`--${tone}`), tone === "off" ? colour("--off") : colour("--surface"), 1.6);
  });
  context.drawImage(image, x - 7, y - 7, 14, 14);
}

const CELL_FONT = 'Inter, "Noto Sans Devanagari", system-ui, sans-serif';
const RADII = [0, 15, 17, 19, 21, 23, 26, 29, 32]; // by the characters of the count
const PILL = 19;
const EDGE = 4;
const pillWidth = (text) => Math.ceil(26 + text.length * 6.4);
const radiusOf = (look) => RADII[Math.min(look.count.length, RADII.length - 1)];

/** Left, top, right, bottom of a cell around its place. */
export function cellBox(look) {
  const radius = radiusOf(look);
  const half = Math.max(radius, look.plugs ? pillWidth(look.plugs) / 2 : 0);
  if (!look.count) return [-half, -PILL / 2, half, PILL / 2];
  return [-half, -radius, half, look.plugs ? radius - 3 + PILL : radius];
}

/** A cell: the vehicles in a circle, who of them needs a person beside a triangle, the free plugs of its stations below. */
export function drawCell(context, x, y, look, ratio) {
  const [left, top, right, bottom] = cellBox(look).map((edge, side) => edge + (side < 2 ? -1 : 1) * (EDGE + (look.needing ? 10 : 0)));
  const key = `c:${look.count}:${look.needing}:${look.worst}:${look.plugs}:${look.tone}:${look.isLive}`;
  const image = sprite(key, right - left, bottom - top, ratio, (pen) => {
    pen.translate(-left, -top);
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    if (look.count) cellCircle(pen, look);
    if (look.plugs) cellPill(pen, look);
    if (look.needing) cellBadge(pen, look);
  });
  context.drawImage(image, Math.round(x + left), Math.round(y + top), right - left, bottom - top); // whole pixels: figures stay sharp
}

/** Dashed: none of them sends. Two rings: an alert of the worst kind. */
function cellCircle(pen, look) {
  const radius = radiusOf(look);
  const isUrgent = look.worst >= WORST.NEEDED;
  const ink = colour({ [WORST.SILENT]: "--off", [WORST.NEEDED]: "--bad", [WORST.ALARM]: "--bad" }[look.worst] ?? "--ok");
  ring(pen, radius, colour("--raised"), colour("--surface"), 4);
  if (look.worst === WORST.SILENT) pen.setLineDash([4, 3]);
  ring(pen, radius - 1.5, colour("--raised"), ink, isUrgent ? 3 : 2.2);
  pen.setLineDash([]);
  if (look.worst === WORST.ALARM) ring(pen, radius - 5, null, ink, 1);
  pen.font = `640 ${look.count.length > 4 ? 12 : 13}px ${CELL_FONT}`;
  pen.fillStyle = colour("--text");
  pen.fillText(look.count, 0, 0.5);
}

function ring(pen, radius, fill, line, width) {
  pen.beginPath();
  pen.arc(0, 0, radius, 0, 7);
  if (fill) { pen.fillStyle = fill; pen.fill(); }
  pen.strokeStyle = line;
  pen.lineWidth = width;
  pen.stroke();
}

/** Several pins behind each other: glyph and free/total; a dashed edge as of pins: no word of them is live. */
function cellPill(pen, look) {
  const width = pillWidth(look.plugs);
  pen.save();
  pen.translate(0, look.count ? radiusOf(look) - 3 + PILL / 2 : 0);
  const ink = colour(`--${look.tone}`);
  pen.beginPath();
  pen.roundRect(-width / 2, -PILL / 2, width, PILL, PILL / 2);
  paint(pen, colour("--raised"), colour("--surface"), 4);
  if (!look.isLive) pen.setLineDash([3, 2.5]);
  paint(pen, colour("--raised"), ink, 1.6);
  pen.setLineDash([]);
  pen.font = `600 11px ${CELL_FONT}`;
  pen.fillStyle = colour("--text");
  pen.fillText(look.plugs, 8, 0.5);
  pen.translate(-width / 2 + PILL / 2, 0);
  pen.scale(0.82, 0.82);
  pinGlyph(pen, look.tone, 7.8, ink);
  pen.restore();
}

/** How many need a person: a triangle with its figure, at the upper right. */
function cellBadge(pen, look) {
  const width = 19 + look.needing.length * 6.4;
  const radius = radiusOf(look);
  pen.save();
  pen.translate(Math.min(radius * 0.72, radius + 10 - width / 2), -radius * 0.82);
  pen.beginPath();
  pen.roundRect(-width / 2, -8, width, 16, 8);
  paint(pen, colour("--bad"), colour("--surface"), 1.6);
  pen.fillStyle = colour("--surface");
  pen.font = `640 10.5px ${CELL_FONT}`;
  pen.fillText(look.needing, 5.5, 0.5);
  pen.translate(-width / 2 + 9, 0.3);
  pen.fill(path("M0-5 4.8 3.6H-4.8z"));
  pen.strokeStyle = colour("--bad");
  pen.lineWidth = 1.2;
  pen.stroke(path("M0-1.8V.6M0 2V2.1"));
  pen.restore();
}
