// A Leaflet layer that is one padded canvas: Leaflet's pane moves it while panning; it is drawn anew, ahead of need and
// one layer in a frame, when little of the padding is left.
/* global L */
const PADDING = 0.25;
const ENOUGH = 0.3; // of the padding: with more than this on every side a layer stays as it is
const waiting = new Set(); // layers that are due, of all maps
let turn = 0;

function nextInTurn() {
  const [layer] = waiting;
  waiting.delete(layer);
  turn = waiting.size ? requestAnimationFrame(nextInTurn) : 0;
  layer?._update();
}

/** `draw(context, view, map)` paints from unit Mercator to the canvas; false when there was nothing to paint. */
export function canvasLayer({ pane, draw }) {
  const Layer = L.Renderer.extend({
    options: { padding: PADDING, pane },
    initialize() {
      L.setOptions(this, this.options);
      L.stamp(this);
      this._layers = {};
      this._frame = 0;
    },
    getEvents() {
      return { ...L.Renderer.prototype.getEvents.call(this), move: this._moved, moveend: this._moved, resize: this._update };
    },
    _initContainer() {
      this._container = document.createElement("canvas");
      this._container.setAttribute("aria-hidden", "true");
      this._context = this._container.getContext("2d");
    },
    _destroyContainer() {
      cancelAnimationFrame(this._frame);
      this._frame = 0;
      waiting.delete(this);
      this._container.remove();
    },
    _updatePaths() {},
    _moved(event) {
      if (this._map._animatingZoom) return;
      if (!this._fits()) {
        if (event.type === "moveend") this._update(); // until then it is stretched
      } else if (!this._bounds.contains(this._viewBox())) this._inTurn();
    },
    /** Whether the map is still where the canvas was placed; not while two fingers are at it, for one. */
    _fits() {
      return this._zoom === this._map.getZoom() && Boolean(this._origin?.equals(this._map.getPixelOrigin()));
    },
    /** The view, and around it what must be there before it is seen. */
    _viewBox() {
      const size = this._map.getSize();
      const corner = this._map.containerPointToLayerPoint([0, 0]);
      const spare = size.multiplyBy(PADDING * ENOUGH);
      return L.bounds(corner.subtract(spare), corner.add(size).add(spare));
    },
    _inTurn() {
      waiting.add(this);
      turn ||= requestAnimationFrame(nextInTurn);
    },
    _update() {
      if (!this._map || this._map._animatingZoom) return;
      waiting.delete(this);
      L.Renderer.prototype._update.call(this);
      this._origin = this._map.getPixelOrigin();
      this._place();
      this._paint();
      this.fire("update");
    },
    _place() {
      const size = this._bounds.getSize();
      const ratio = Math.min(2, window.devicePixelRatio || 1);
      const width = Math.ceil(size.x * ratio);
      const height = Math.ceil(size.y * ratio);
      if (this._container.width !== width || this._container.height !== height) {
        this._container.width = width;
        this._container.height = height;
        this._container.style.width = `${size.x}px`;
        this._container.style.height = `${size.y}px`;
      }
      this._ratio = ratio;
      L.DomUtil.setPosition(this._container, this._bounds.min);
    },
    _paint() {
      const context = this._context;
      const size = this._bounds.getSize();
      context.setTransform(this._ratio, 0, 0, this._ratio, 0, 0);
      context.clearRect(0, 0, size.x, size.y);
      const isEmpty = draw(context, this.view(), this._map) === false;
      this._container.style.display = isEmpty ? "none" : ""; // else each frame blends it, and moves it while panning
    },
    /** Scale and offset from unit Mercator to this canvas, and its size. */
    view() {
      const origin = this._map.getPixelOrigin().add(this._bounds.min);
      const size = this._bounds.getSize();
      return { scale: 256 * 2 ** this._map.getZoom(), left: origin.x, top: origin.y, width: size.x, height: size.y,
        zoom: this._map.getZoom(), ratio: this._ratio };
    },
    /** Draw soon; many calls make one frame. */
    redraw() {
      if (this._frame || !this._map) return;
      this._frame = requestAnimationFrame(() => {
        this._frame = 0;
        if (!this._map || !this._bounds || this._map._animatingZoom) return;
        if (this._fits()) this._paint();
        else this._update(); // what is drawn for another zoom would be stretched once more
      });
    },
  });
  return new Layer();
}
