"""The canvases of the map: when they are drawn anew, and that thousands of vehicles look as few do."""

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.e2e.test_scripts import page  # noqa: F401 (a fixture)

pytestmark = pytest.mark.browser

MOVED = """async ({leaflet}) => {
  const script = document.createElement("script");
  await new Promise((onload) => document.head.append(Object.assign(script, {src: leaflet, onload})));
  const {canvasLayer} = await import("fc/canvas-layer");
  const box = document.createElement("div");
  box.style.cssText = "position:fixed;left:0;top:0;width:400px;height:400px";
  document.body.append(box);
  const map = L.map(box, {zoomAnimation: false, fadeAnimation: false}).setView([12.9, 77.6], 12, {animate: false});
  const drawn = [];
  let isThere = true;
  const layers = ["one", "two"].map((name) => canvasLayer({pane: "overlayPane", draw: () => {
    drawn.push([name, document.timeline.currentTime]);
    return name === "one" || isThere;
  }}).addTo(map));
  const frames = async (count) => { for (let n = 0; n < count; n++) await new Promise(requestAnimationFrame); };
  const pan = async (x, y) => {
    drawn.length = 0;
    map.panBy([x, y], {animate: false});
    await frames(4);
    return [...drawn];
  };
  const corners = () => layers.map((layer) => {
    const {min, max} = layer._bounds;
    const view = map.containerPointToLayerPoint([0, 0]);
    return [view.x - min.x, view.y - min.y, max.x - view.x - 400, max.y - view.y - 400];
  });
  const little = await pan(60, 0);
  const far = await pan(25, 0);
  const around = corners();
  drawn.length = 0;
  map.setZoom(13);
  const zoomed = drawn.map(([name]) => name);
  drawn.length = 0;
  map._moveStart(true)._move(L.latLng(12.9004, 77.6), 13, {pinch: true})._moveEnd(true); // two fingers, and as it was
  const pinched = drawn.map(([name]) => name);
  map._moveStart(true)._move(L.latLng(12.9, 77.6), 13.4, {pinch: true}); // and while they are there it is drawn for it
  drawn.length = 0;
  layers[0].redraw();
  await frames(2);
  const isStretched = layers[0]._container.style.transform.includes("scale");
  const between = [...new Set(drawn.map(([name]) => name)), layers[0]._zoom, isStretched, layers[0]._fits()];
  map._moveEnd(true);
  isThere = false;
  layers[1].redraw();
  await frames(2);
  const empty = getComputedStyle(layers[1]._container).display;
  isThere = true;
  layers[1].redraw();
  await frames(2);
  return {little, far, around, zoomed, pinched, between, empty, full: getComputedStyle(layers[1]._container).display};
}"""


def test_a_layer_is_drawn_anew_when_little_of_its_padding_is_left_and_one_in_a_frame(page: Page) -> None:  # noqa: F811
    told = page.evaluate(MOVED, {"leaflet": "/static/leaflet/leaflet.js"})
    assert told["little"] == []  # 40 of 100 px of padding are left
    assert [name for name, _ in told["far"]] == ["one", "two"]
    assert len({at for _, at in told["far"]}) == 2
    assert told["around"] == [[100, 100, 100, 100]] * 2
    assert set(told["zoomed"]) == set(told["pinched"]) == {"one", "two"}  # at once: it would be stretched, or lie askew
    assert told["between"] == ["one", 13.4, False, True]
    assert (told["empty"], told["full"]) == ("none", "inline")


DRAWN = """async ({rows, size}) => {
  const [{drawVehicles}, {Table}] = await Promise.all(["sprites", "table"].map((name) => import(`fc/${name}`)));
  const table = new Table();
  for (const row of rows) table.put(...row);
  const scale = 256 * 2 ** 12;
  const [left, top] = [table.x[0] * scale - size / 2, table.y[0] * scale - size / 2];
  const paint = (side, calls) => {
    const pen = Object.assign(document.createElement("canvas"), {width: side, height: side}).getContext("2d");
    for (const name of ["drawImage", "putImageData"]) {
      const own = pen[name];
      pen[name] = (...given) => { calls[name] = (calls[name] ?? 0) + 1; return own.apply(pen, given); };
    }
    drawVehicles(pen, table, {scale, left, top, width: size, height: size, ratio: 1});
    return pen.getImageData(0, 0, size, size).data;
  };
  const calls = [{}, {}];
  const [crowd, few] = [paint(size, calls[0]), paint(4 * size, calls[1])];
  let [most, coloured, faint] = [0, 0, 0];
  for (let y = 30; y < size - 30; y++) for (let x = 30; x < size - 30; x++) {
    const at = 4 * (y * size + x);
    coloured += few[at + 3] === 255;
    faint += few[at + 3] > 100 && few[at + 3] < 150;
    for (let n = 0; n < 4; n++) { // as seen: by how much light and how much cover differ
      const part = (data) => n === 3 ? data[at + 3] : (data[at + n] * data[at + 3]) / 255;
      most = Math.max(most, Math.abs(part(crowd) - part(few)));
    }
  }
  return {calls, most, coloured, faint};
}"""


def test_thousands_of_vehicles_look_as_few_do(page: Page) -> None:  # noqa: F811
    rows: list[list[Any]] = [[1, 12.9, 77.6, 0, 30, 50, 1]]
    for number in range(2, 501):
        state = (0, 1, 1, 2, 3, 0x11, 0x20, 0x21)[
            number % 8
        ]  # parked, driving, charging, silent, low, not heard lately
        latitude, longitude = 12.9 + (number * 37 % 97 - 48) / 1000, 77.6 + (number * 53 % 101 - 50) / 1000
        rows.append([number, latitude, longitude, number % 256, 30, 50, state])
    told = page.evaluate(DRAWN, {"rows": rows, "size": 300})
    assert told["calls"] == [{"putImageData": 1}, {"drawImage": 500}]
    assert told["coloured"] > 10_000
    assert told["faint"] > 100
    assert told["most"] <= 6
