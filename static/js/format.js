// Numbers grouped as India reads them, rupees, times in the fleet's zone.
import { boot } from "fc/boot";
import { serverNow } from "fc/clock";

const zone = boot.timeZone || "Asia/Kolkata";
const currency = boot.currency || "INR";
const integers = new Intl.NumberFormat("en-IN", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en-IN", { maximumFractionDigits: 1 });
const money = new Intl.NumberFormat("en-IN", { style: "currency", currency });
const roundMoney = new Intl.NumberFormat("en-IN", { style: "currency", currency, maximumFractionDigits: 0 });
const minutes = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: zone });
const seconds = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit", minute: "2-digit", second: "2-digit", timeZone: zone,
});

export const integer = (value) => (value === null || value === undefined ? "–" : integers.format(value));
export const tenth = (value) => tenths.format(value);
export const rupees = (paise) => (paise === null || paise === undefined ? "–" : money.format(paise / 100));
export const wholeRupees = (paise) => (paise === null || paise === undefined ? "–" : roundMoney.format(paise / 100));
export const percent = (value) => (value === null || value === undefined ? "–" : `${Math.round(value)} %`);
export const power = (watts) => (watts >= 1e6 ? `${(watts / 1e6).toFixed(1)} MW` : `${Math.round(watts / 1000)} kW`);

function clockTime(format, at) {
  const date = at instanceof Date ? at : new Date(at);
  return Number.isNaN(date.getTime()) ? "–" : format.format(date);
}
export const hourMinute = (at) => clockTime(minutes, at);
export const hourMinuteSecond = (at) => clockTime(seconds, at);

const days = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: zone });
/** `14:31:20`, with the day in front when it is another one than today. */
export function pastTime(at, now = serverNow()) {
  const day = days.format(new Date(at));
  return day === days.format(new Date(now)) ? hourMinuteSecond(at) : `${day} ${hourMinuteSecond(at)}`;
}

const wall = new Intl.DateTimeFormat("sv-SE", {
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", timeZone: zone,
});

/** `2026-11-21T20:30`, as a datetime-local input wants it, in the fleet's zone whatever the browser's is. */
export const wallTime = (at) => wall.format(at).replace(" ", "T");

/** The instant of such a text; twice, because the clock may change between the guess and the instant. */
export function fromWallTime(text) {
  const asUtc = Date.parse(`${text}Z`);
  let at = asUtc;
  for (let turn = 0; turn < 2; turn++) at = asUtc - (Date.parse(`${wallTime(new Date(at))}Z`) - at);
  return new Date(at);
}

/** `0:48`, `12:05` since an instant; hours beyond an hour. */
export function since(at, now = serverNow()) {
  const total = Math.max(0, Math.floor((now - new Date(at).getTime()) / 1000));
  const hours = Math.floor(total / 3600);
  const rest = String(total % 60).padStart(2, "0");
  return hours ? `${hours} h ${Math.floor((total % 3600) / 60)} min` : `${Math.floor(total / 60)}:${rest}`;
}
