// Says on the map what its ground is and whose data is drawn; also where room is short, for it is owed.

export class Credits {
  constructor() {
    this.line = document.querySelector(".attr");
    this.pill = document.querySelector("#basemap-name > span");
    this.said = null;
  }

  /** `shown`: `{tiles, city, outline, places}`, what was drawn just now; `tiles` is their attribution. */
  tell(shown) {
    if (!this.line) return;
    const { outline, places, city } = this.line.dataset;
    const parts = [shown.tiles, shown.city && city, shown.outline && outline, shown.places && places].filter(Boolean);
    const said = parts.join(" · ");
    if (said === this.said) return;
    this.said = said;
    this.line.textContent = said;
    if (this.pill) this.pill.textContent = this.pill.dataset[shown.tiles ? "tiles" : shown.city ? "city" : "outline"];
  }
}
