// A Leaflet layer that is one padded canvas: Leaflet's pane moves it while panning, it redraws past the padding.
/* global L */
const PADDING = 0.25;

/** `draw(context, project, view)` gets a function from unit Mercator to canvas pixels (written into `view.at`). */
export function canvasLayer({ pane, draw }) {
  const Layer = L.Renderer.extend({
    options: { padding: PADDING, pane },
    initialize() {
      L.setOptions(this, this.options);
      L.stamp(this);
      this._layers = {};
      this._frame = 0;
    },
    onAdd(map) {
      L.Renderer.prototype.onAdd.call(this, map);
      map.on("move", this._whilePanning, this);
      map.on("resize", this._update, this);
    },
    onRemove(map) {
      map.off("move", this._whilePanning, this);
      map.off("resize", this._update, this);
      L.Renderer.prototype.onRemove.call(this);
    },
    _initContainer() {
      this._container = document.createElement("canvas");
      this._container.setAttribute("aria-hidden", "true");
      this._context = this._container.getContext("2d");
    },
    _destroyContainer() {
      cancelAnimationFrame(this._frame);
      this._frame = 0;
      this._container.remove();
    },
    _updatePaths() {},
    _whilePanning() {
      if (this._bounds && !this._map._animatingZoom && !this._bounds.contains(this._viewBox())) this._update();
    },
    _viewBox() {
      const corner = this._map.containerPointToLayerPoint([0, 0]);
      return L.bounds(corner, corner.add(this._map.getSize()));
    },
    _update() {
      if (!this._map || this._map._animatingZoom) return;
      L.Renderer.prototype._update.call(this);
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
      draw(context, this.view(), this._map);
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
        if (this._map && this._bounds && !this._map._animatingZoom) this._paint();
      });
    },
  });
  return new Layer();
}
