// Mapbox Vector Tiles, read: roads by class, water, green and buildings as paths in units of the tile, places as points.
const AREA = 3;
const CLOSE_PATH = 7;
const MOVE_TO = 1;
const AREAS = ["water", "green", "buildings"];

/** `{extent, roads: [Path2D by class], water, green, buildings, places: [{x, y, name, hindi, rank}]}`; nothing of what it does not know. */
export function readTile(buffer) {
  const tile = { extent: 4096, roads: [], water: new Path2D(), green: new Path2D(), buildings: new Path2D(), places: [] };
  each(new Uint8Array(buffer), (field, value) => { if (field === 3) readLayer(tile, value); });
  return tile;
}

/** Calls `take(field, value)` for each field of a message: bytes or a number. */
function each(bytes, take) {
  const pen = { bytes, at: 0 };
  while (pen.at < bytes.length) {
    const key = varint(pen);
    const kind = key & 7;
    if (kind === 0) take(key >> 3, varint(pen));
    else if (kind === 2) { const size = varint(pen); take(key >> 3, bytes.subarray(pen.at, pen.at += size)); }
    else pen.at += kind === 1 ? 8 : 4;
  }
}

function varint(pen) {
  let value = 0;
  for (let shift = 1; pen.at < pen.bytes.length; shift *= 128) {
    const byte = pen.bytes[pen.at++];
    value += (byte & 0x7f) * shift;
    if (byte < 0x80) break;
  }
  return value;
}

function numbers(bytes) {
  const pen = { bytes, at: 0 };
  const all = [];
  while (pen.at < bytes.length) all.push(varint(pen));
  return all;
}

const text = (bytes) => new TextDecoder().decode(bytes);

function readLayer(tile, bytes) {
  const layer = { name: "", keys: [], values: [], features: [] };
  each(bytes, (field, value) => {
    if (field === 1) layer.name = text(value);
    else if (field === 2) layer.features.push(value);
    else if (field === 3) layer.keys.push(text(value));
    else if (field === 4) each(value, (kind, said) => layer.values.push(kind === 1 ? text(said) : said));
    else if (field === 5) tile.extent = value;
  });
  for (const feature of layer.features) readFeature(tile, layer, feature);
}

function readFeature(tile, layer, bytes) {
  const said = {};
  let shape = 0;
  let steps = [];
  each(bytes, (field, value) => {
    if (field === 2) numbers(value).forEach((key, n, all) => { if (n % 2 === 0) said[layer.keys[key]] = layer.values[all[n + 1]]; });
    else if (field === 3) shape = value;
    else if (field === 4) steps = numbers(value);
  });
  if (layer.name === "places") tile.places.push(readPlace(said, steps));
  else if (layer.name === "roads") trace(tile.roads[said.class] ??= new Path2D(), steps);
  else if (shape === AREA && AREAS.includes(layer.name)) trace(tile[layer.name], steps);
}

const unzigzag = (number) => (number % 2 ? -(number + 1) / 2 : number / 2);

function readPlace({ name, "name:hi": hindi = "", rank }, steps) {
  return { x: unzigzag(steps[1] ?? 0), y: unzigzag(steps[2] ?? 0), name: String(name), hindi: String(hindi), rank };
}

function trace(path, steps) {
  let x = 0;
  let y = 0;
  for (let at = 0; at < steps.length;) {
    const command = steps[at] & 7;
    let count = steps[at++] >> 3;
    if (command === CLOSE_PATH) { path.closePath(); continue; }
    for (; count > 0 && at < steps.length; count--) {
      x += unzigzag(steps[at++]);
      y += unzigzag(steps[at++] ?? 0);
      if (command === MOVE_TO) path.moveTo(x, y);
      else path.lineTo(x, y);
    }
  }
}
