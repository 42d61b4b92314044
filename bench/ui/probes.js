// What the bench sees of a page, from outside the product's own scripts.
(() => {
  const bench = { at: {}, map: null };
  window.bench = bench;
  let take = null;
  Object.defineProperty(window, "fleetMapReady", {
    configurable: true,
    get: () => take,
    set(given) { take = (map) => { bench.map = map; given(map); }; },
  });
  const layer = () => document.querySelector(".leaflet-vehicles-pane canvas");

  /** Frames for so long: a spot changes in each, so that each has to be presented. */
  bench.frames = (ms) => new Promise((done) => {
    const spot = document.createElement("div");
    spot.style.cssText = "position:fixed;left:0;top:0;width:2px;height:2px;z-index:99999;pointer-events:none";
    document.documentElement.append(spot);
    const at = [];
    const long = [];
    const observer = new PerformanceObserver((list) => { for (const entry of list.getEntries()) long.push([entry.startTime, entry.duration]); });
    observer.observe({ type: "long-animation-frame" });
    let heap = 0;
    const step = (now) => {
      at.push(now);
      spot.style.background = at.length % 2 ? "#000" : "#fff";
      heap = Math.max(heap, performance.memory?.usedJSHeapSize ?? 0);
      if (now - at[0] < ms) { requestAnimationFrame(step); return; }
      observer.disconnect();
      spot.remove();
      done({ at, long: long.filter(([start]) => start >= at[0]), heap });
    };
    requestAnimationFrame(step);
  });

  /** The machine's own: a canvas of the size of the layer, cleared and filled with so many copies in each frame. */
  bench.bare = (ms, copies, width, height) => {
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width, height });
    canvas.style.cssText = "position:fixed;left:0;top:0";
    document.body.append(canvas);
    const sprite = document.createElement("canvas");
    sprite.width = sprite.height = 30;
    const pen = sprite.getContext("2d", { willReadFrequently: true });
    pen.fillStyle = "#0a7a4a";
    pen.arc(15, 15, 6, 0, 7);
    pen.fill();
    const context = canvas.getContext("2d");
    let turn = 0;
    let isOver = false;
    const draw = () => {
      if (isOver) return;
      context.clearRect(0, 0, width, height);
      turn++;
      for (let n = 0; n < copies; n++) context.drawImage(sprite, (n * 97 + turn) % width, (n * 61) % height, 30, 30);
      requestAnimationFrame(draw);
    };
    draw();
    return bench.frames(ms).then((frames) => { isOver = true; canvas.remove(); return frames; });
  };

  /** When rows, line, list and vehicles at these places were there, and the page had time for whoever uses it. */
  bench.firstSight = (places) => {
    const pen = CanvasRenderingContext2D.prototype;
    const { drawImage, putImageData } = pen;
    let isChanged = places.length === 0;
    const told = (paint) => function heard(...values) {
      if (this.canvas.parentNode?.classList.contains("leaflet-vehicles-pane")) isChanged = true;
      return paint.apply(this, values);
    };
    Object.assign(pen, { drawImage: told(drawImage), putImageData: told(putImageData) });
    const mark = (name, isThere) => { if (isThere && !(name in bench.at)) bench.at[name] = performance.now(); };
    const look = () => {
      mark("rows", document.querySelector("#rows .row"));
      mark("live", document.querySelector("#live[data-state=live]"));
      mark("list", document.querySelector("#rows.virtual .row"));
      if (isChanged) mark("drawn", areThere(places));
      isChanged = isChanged && places.length === 0;
      if (!("live" in bench.at && "list" in bench.at && "drawn" in bench.at)) { requestAnimationFrame(look); return; }
      Object.assign(pen, { drawImage, putImageData });
      requestIdleCallback(() => { bench.at.interactive = performance.now(); });
    };
    requestAnimationFrame(look);
  };

  /** Until a moment of the first sight has come; the page's policy lets nobody else wait for it. */
  bench.until = (name, patience) => new Promise((done, fail) => {
    const look = () => {
      if (name in bench.at) done(bench.at[name]);
      else if (performance.now() > patience) fail(new Error(`no ${name} after ${patience} ms, only ${JSON.stringify(bench.at)}`));
      else setTimeout(look, 20);
    };
    look();
  });

  /** Epoch milliseconds of the frame after the one in which this place of the vehicles' canvas has a colour. */
  bench.colour = (latitude, longitude, patience) => {
    const ends = performance.now() + patience;
    bench.seen = new Promise((done) => {
      const look = () => {
        if (isThere(latitude, longitude)) requestAnimationFrame(() => done(performance.timeOrigin + performance.now()));
        else if (performance.now() > ends) done(null);
        else requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    });
  };
  function isThere(latitude, longitude) {
    const canvas = layer();
    const { x, y } = spotOf(canvas, [latitude, longitude]);
    const pixels = canvas.getContext("2d").getImageData(x - 1, y - 1, 3, 3).data;
    return pixels.some((value, n) => n % 4 === 3 && value > 0);
  }

  /** Nearly all of them: where few are missing, some of their places have the colour of a neighbour. */
  function areThere(places) {
    if (!places.length) return true;
    const canvas = layer();
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const seen = places.filter((place) => {
      const { x, y } = spotOf(canvas, place);
      return data[4 * (y * canvas.width + x) + 3] > 0;
    });
    return seen.length >= places.length * 0.99;
  }
  function spotOf(canvas, place) {
    const ratio = canvas.width / parseFloat(canvas.style.width);
    return bench.map.latLngToLayerPoint(place).subtract(L.DomUtil.getPosition(canvas)).multiplyBy(ratio).round();
  }

  bench.layer = () => { const canvas = layer(); return { width: canvas.width, height: canvas.height, ratio: devicePixelRatio }; };
})();
