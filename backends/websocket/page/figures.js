// The live part of a card: rates, answer time, the minute's graph and the map of the image.

import { element, setText, show } from './dom.js';
import { RateGraph } from './graph.js';
import { region } from './metrics.js';
import { RegionMap } from './region-map.js';
import { bytes, milliseconds, rate } from './words.js';

const prefersCalm = () => matchMedia('(prefers-reduced-motion: reduce)').matches;
const shownIn = new Set(['attached', 'reconnecting', 'ejecting']);

export class Figures {
  #values = {};
  #parts = {}; // that a read-only image does without
  #last = null;
  #graph;
  #map;

  constructor() {
    const graph = element('canvas.graph', { role: 'img', 'aria-label': 'Rates of the last minute' });
    const map = element('canvas.map', { role: 'img', 'aria-label': 'Which parts of the image were used' });
    this.#graph = new RateGraph(graph);
    this.#map = new RegionMap(map, prefersCalm);
    this.#values.map = map;
    this.#values.top = element('span');
    this.element = element(
      'section.figures',
      { hidden: true, 'aria-label': 'Activity' },
      element(
        'dl',
        {},
        this.#figure('read', 'Reading', 'read'),
        (this.#parts.written = this.#figure('written', 'Writing', 'written')),
        this.#figure('latency', 'Answer time'),
        this.#figure('total', 'Read so far'),
        (this.#parts.changed = this.#figure('changed', 'Changed')),
        this.#figure('connections', 'Connections'),
      ),
      element(
        'div',
        {},
        element('p.legend.above', { 'aria-hidden': 'true' }, element('span', {}, 'last minute'), this.#values.top),
        graph,
      ),
      element(
        'div',
        {},
        map,
        element(
          'p.legend',
          { 'aria-hidden': 'true' },
          element('span', {}, 'start'),
          element('span.key.read', {}, 'read'),
          (this.#parts.key = element('span.key.written', {}, 'written')),
          element('span', {}, 'end of the image'),
        ),
      ),
    );
    // Canvases do not know of a change of colours.
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#drawPictures());
  }

  #figure(name, label, kind) {
    this.#values[name] = element('dd', { 'data-value': name }, '–');
    return element(kind ? `div.${kind}` : 'div', {}, element('dt', {}, label), this.#values[name]);
  }

  draw({ state, figures, connections }) {
    show(this.element, shownIn.has(state) && figures !== null);
    if (this.element.hidden) {
      this.#last = null;
      return;
    }
    setText(this.#values.connections, String(connections));
    if (figures === this.#last) return;
    for (const part of Object.values(this.#parts)) show(part, figures.isWritable);
    this.#count(figures);
    this.#last = figures;
    this.#drawPictures();
  }

  #drawPictures() {
    // A page that is not seen needs none.
    if (document.visibilityState !== 'visible' || !this.#last) return;
    this.#graph.draw();
    this.#map.draw(this.#last.isWritable);
  }

  #count(figures) {
    const before = this.#last;
    const seconds = before ? Math.max(0.1, (figures.at - before.at) / 1000) : 0;
    const per = (name) => (before ? Math.max(0, figures[name] - before[name]) / seconds : 0);
    const [read, written] = [per('bytesRead'), per('bytesWritten')];
    this.#graph.add(read, written);
    this.#map.add(figures.regions, figures.recent);
    setText(this.#values.read, rate(read));
    setText(this.#values.written, rate(written));
    if (figures.median !== null) setText(this.#values.latency, milliseconds(figures.median));
    setText(this.#values.total, bytes(figures.bytesRead));
    setText(this.#values.changed, bytes(figures.changedBytes));
    setText(this.#values.top, this.#graph.top > 0 ? `peak ${rate(this.#graph.top)}` : '');
    const percent = (kind) => Math.round(100 * this.#map.share(kind));
    this.#values.map.setAttribute(
      'aria-label',
      `About ${percent(region.read)} % of the image was read` +
        (figures.isWritable ? `, ${percent(region.written)} % written` : ''),
    );
  }
}
