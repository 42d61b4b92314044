// The figures above the map.
import { integer, power, rupees } from "fc/format";
import { byId } from "fc/dom";

const NS = "http://www.w3.org/2000/svg";

export function drawKpis(kpi) {
  const share = kpi.chargers_total ? Math.round((100 * kpi.chargers_available) / kpi.chargers_total) : 0;
  const peak = Math.max(0, ...(kpi.history?.charging_power_w ?? []));
  set("chargers", { main: integer(kpi.chargers_available), of: [kpi.chargers_total], side: `${share} %` }, kpi.history?.chargers_available);
  set("low", { main: integer(kpi.vehicles_low), side: [kpi.vehicles_rerouted] }, kpi.history?.vehicles_low).classList.toggle("on", kpi.vehicles_low > 0);
  set("charging", { main: integer(kpi.charging_now), of: power(kpi.charging_power_w), side: peak > kpi.charging_power_w ? power(peak) : "" }, kpi.history?.charging_now);
  set("energy", { main: integer(Math.round(kpi.energy_today_wh / 1000)) }, kpi.history?.energy_today_wh);
  set("spend", { main: rupees(kpi.spend_today_paise) }, kpi.history?.spend_today_paise);
  set("exceptions", { main: integer(kpi.exceptions_open), side: [kpi.held_paise, rupees] }, kpi.history?.exceptions_open);
}

/** A value replaces the text; `[number, format]` replaces only the number inside a translated sentence. */
function set(name, values, history) {
  const card = byId("kpis").querySelector(`[data-kpi="${name}"]`);
  for (const [part, value] of Object.entries(values)) {
    const element = card.querySelector(`[data-v="${part}"]`);
    const text = Array.isArray(value) ? element.textContent.replace(/[-₹\d][\d,.]*/, () => (value[1] ?? integer)(value[0])) : value;
    if (element.textContent !== text) element.textContent = text;
  }
  if (history?.length > 1) spark(card.querySelector("svg:not(.i)"), history);
  return card;
}

function spark(svg, values) {
  const low = Math.min(0, ...values);
  const high = Math.max(1, ...values);
  const line = values.map((value, n) => `${((n * 64) / (values.length - 1)).toFixed(1)},${(22 - ((value - low) / (high - low)) * 19).toFixed(1)}`).join(" ");
  if (svg.dataset.line === line) return;
  svg.dataset.line = line;
  const area = document.createElementNS(NS, "polygon");
  const stroke = document.createElementNS(NS, "polyline");
  for (const [name, value] of Object.entries({ points: `0,24 ${line} 64,24`, fill: "currentColor", opacity: ".12" })) area.setAttribute(name, value);
  for (const [name, value] of Object.entries({ points: line, fill: "none", stroke: "currentColor", "stroke-width": "1.6" })) stroke.setAttribute(name, value);
  svg.replaceChildren(area, stroke);
}

