// Vehicles and pins drawn once per look and heading, then blitted: thousands of them cost a copy each.
import { onTheme, colour } from "fc/theme";

const HEADINGS = 32;
const SIZE = 30;
const cache = new Map();
const PIN_TONES = ["ok", "chg", "warn", "bad", "off"];
const path = (text) => new Path2D(text);
const ARROW = path("M0-8.5 6.3 6.5 0 3.3-6.3 6.5z");
const TRIANGLE = path("M0-9.5 9 6.5H-9z");
const BOLT = path("M1-4.6-3 .9H0L-1 4.6 3-.9H0z");
const PIN_GLYPHS = {
  ok: path("m-3.2 .2 2.2 2.2 4.2-4.6"), chg: path("M.8-4.6-2.8 .9H0L-.8 4.6 2.8-.9H0z"),
  warn: path("M0-2.8V.3L2.2 1.7"), bad: path("M0-4V1M0 3.5V3.7"), off: path("M-3 3 3-3"),
};
onTheme(() => cache.clear());

function sprite(key, width, height, ratio, paint) {
  const id = `${key}@${ratio}`;
  if (!cache.has(id)) {
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

function vehicleSprite(look, heading, ratio) {
  const turn = look === "driving" ? Math.round((heading / 360) * HEADINGS) % HEADINGS : 0;
  return sprite(`v:${look}:${turn}`, SIZE, SIZE, ratio, (context) => {
    context.translate(SIZE / 2, SIZE / 2);
    PAINT[look](context, turn);
  });
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

export function drawVehicle(context, x, y, look, heading, ratio, alpha) {
  context.globalAlpha = alpha;
  context.drawImage(vehicleSprite(look, heading, ratio), x - SIZE / 2, y - SIZE / 2, SIZE, SIZE);
  context.globalAlpha = 1;
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
  pen.beginPath();
  pen.arc(0, 0, height / 2 - 3.5, 0, 7);
  pen.fillStyle = ink;
  pen.fill();
  pen.strokeStyle = ground;
  pen.fillStyle = ground;
  pen.lineWidth = 1.7;
  if (tone === "chg") pen.fill(PIN_GLYPHS.chg);
  else pen.stroke(PIN_GLYPHS[tone]);
  pen.restore();
  pen.font = `600 ${isBig ? 12.5 : 11.5}px Inter, system-ui, sans-serif`;
  pen.textAlign = "center";
  pen.fillStyle = isBig ? ground : colour("--text");
  pen.fillText(text, height / 2 - 2, -height / 2 - 0.8, width - height - 4);
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
