// Draws a layout, and lets people move in it with mouse, finger and keyboard.

import { GROUPS, wordOf } from './model.js';
import { sceneOf } from './scene.js';
import { layoutOf } from './layout.js';
import { bdi, clean, count, draw, make, put, sign } from './text.js';

/** Beyond so many interfaces namespaces are folded until somebody unfolds them. */
const LARGE = 150;
const ZOOMS = { least: 0.15, most: 2, step: 1.25 };
/** Labels of more lines than these would hide each other. */
const MOST_LABELS = 16;

export class Picture {
  constructor(store, open) {
    this.store = store;
    this.open = open;
    for (const id of ['stage', 'paper', 'lines', 'boxes', 'nothing', 'size', 'fit', 'smaller', 'larger', 'fold', 'unfold']) {
      this[id] = document.getElementById(id);
    }
    /** What the user folded or unfolded, by the id of the namespace. */
    this.choices = new Map();
    this.isLarge = null;
    this.zoom = 0;
    this.elements = new Map();
    this.current = null;
    this.listen();
  }

  // What is seen

  update(filter) {
    this.filter = filter;
    if (this.stage.clientWidth === 0) return;
    const isFiltered = !filter.isEmpty;
    const words = filter.words();
    const scene = sceneOf(this.store, isFiltered ? (value) => filter.test(value, words) : null);
    const total = scene.nodes.size;
    // A few more or fewer do not fold and unfold everything.
    if (this.isLarge === null || total > LARGE * 1.3 || total < LARGE * 0.7) this.isLarge = total > LARGE;
    this.isFiltered = isFiltered;
    const isNarrow = this.isNarrow();
    this.scene = scene;
    this.layout = layoutOf(scene, {
      width: this.stage.clientWidth, height: this.stage.clientHeight, isNarrow, isFolded: (space) => this.isFolded(space),
    });
    this.render();
    this.tellSize(scene);
    if (!this.zoom || isNarrow || this.isFitted) this.scale(this.fitting());
    else this.scale(this.zoom);
  }

  isNarrow() {
    return this.stage.clientWidth < 640;
  }

  isFolded(space) {
    const choice = this.isFiltered ? undefined : this.choices.get(space.id);
    return choice ?? (this.isLarge && space.nodes.length > 0);
  }

  tellSize(scene) {
    const interfaces = [...scene.nodes.values()].filter((node) => node.value?.net.is === 'interface').length;
    const places = scene.spaces.filter((space) => space.id === 'own' || space.id.startsWith('n:')).length;
    put(this.size, `${count(interfaces, 'interface')} in ${count(places, 'namespace')}`);
    this.nothing.hidden = scene.spaces.length > 0;
    put(this.nothing, this.isFiltered ? 'Nothing fits the filter.' : 'Nothing is declared yet.');
  }

  // Drawing

  render() {
    const used = new Set();
    const order = [];
    for (const box of this.layout.boxes) order.push(this.renderBox(box, used));
    const lines = this.layout.lines.map((line) => this.renderLine(line, used));
    for (const [id, element] of this.elements) {
      if (used.has(id)) continue;
      element.remove();
      this.elements.delete(id);
    }
    arrange(this.boxes, [this.lines, ...order]);
    arrange(this.lines, [...lines, ...this.renderLabels()]);
    this.mark(this.current && this.elements.has(this.current) ? this.current : this.layout.boxes[0] && `head ${this.layout.boxes[0].space.id}`);
  }

  element(id, used, create) {
    used.add(id);
    let element = this.elements.get(id);
    if (!element) {
      element = create();
      this.elements.set(id, element);
    }
    return element;
  }

  renderBox(box, used) {
    const { space } = box;
    const element = this.element(`box ${space.id}`, used, () => make('div', { className: 'box', role: 'group' }));
    const isOutside = space.id === 'remote' || space.id === 'services';
    setClass(element, `box ${isOutside ? 'outside' : ''} ${box.isFolded ? `folded ${space.group}` : ''}`);
    element.setAttribute('aria-label', clean([space.note, space.label].filter(Boolean).join(' ')));
    place(element, box);
    const children = [this.renderHead(box, used)];
    for (const frame of box.frames) {
      const mark = this.element(`frame ${frame.node.id}`, used, () => make('div', { className: 'nest' }));
      place(mark, frame);
      children.push(mark);
    }
    for (const chip of box.chips) children.push(this.renderChip(chip, used));
    arrange(element, children);
    return element;
  }

  renderHead(box, used) {
    const { space } = box;
    const id = `head ${space.id}`;
    const head = this.element(id, used, () => {
      const button = make('button', { type: 'button', className: 'head', tabIndex: -1 });
      button.dataset.id = id;
      button.append(make('span', { className: 'label' }), make('span', { className: 'note' }));
      return button;
    });
    const canFold = space.nodes.length > 0;
    if (canFold) head.setAttribute('aria-expanded', String(!box.isFolded));
    else head.removeAttribute('aria-expanded');
    const label = `${space.note}\n${space.label}`;
    if (head.dataset.label !== label) {
      head.dataset.label = label;
      head.firstChild.replaceChildren(...[space.note && make('small', { textContent: `${space.note} ` }), bdi(space.label)].filter(Boolean));
      head.title = space.label;
    }
    const tally = this.tally(space);
    const text = JSON.stringify(tally);
    if (head.dataset.tally !== text) {
      head.dataset.tally = text;
      head.lastChild.replaceChildren(...tally.flatMap(([group, number, word]) => [
        make('span', { className: `tally ${group}`, title: `${number} ${word}` }, sign(group), `${number}`,
          make('span', { className: 'unseen', textContent: ` ${word}` }))]));
    }
    return head;
  }

  /** How many nodes of a namespace are in which group. */
  tally(space) {
    const groups = Object.fromEntries(Object.keys(GROUPS).map((group) => [group, 0]));
    for (const node of space.nodes) if (node.value) groups[node.group] += 1;
    if (space.nodes.length === 0 && space.value) groups[space.value.group] += 1;
    return Object.entries(groups).filter(([, number]) => number > 0).map(([group, number]) => [group, number, GROUPS[group]]);
  }

  renderChip(chip, used) {
    const { node } = chip;
    const element = this.element(node.id, used, () => {
      const button = make('button', { type: 'button', tabIndex: -1 });
      button.dataset.id = node.id;
      button.append(sign('good'), bdi('', 'name'), bdi('', 'note'));
      return button;
    });
    const isNew = element.dataset.group !== undefined && element.dataset.group !== node.group;
    setClass(element, `chip ${node.group} ${node.children.length > 0 ? 'owner' : ''} ${node.isWanted ? 'wanted' : ''} ${node.value ? '' : 'plain'}`);
    if (element.dataset.group !== node.group) {
      element.dataset.group = node.group;
      element.firstChild.replaceWith(sign(node.group));
    }
    if (isNew) element.animate?.([{ outlineColor: 'currentColor', outlineWidth: '3px' }, { outlineColor: 'transparent', outlineWidth: '3px' }], { duration: matchMedia('(prefers-reduced-motion: reduce)').matches ? 0 : 1200 });
    put(element.children[1], node.name);
    put(element.children[2], clean(node.note));
    const label = this.label(node);
    if (element.title !== label) {
      element.title = label;
      element.setAttribute('aria-label', label);
    }
    place(element, chip);
    return element;
  }

  /** A node in words. */
  label(node) {
    const parts = [node.name, clean(node.note)];
    if (node.value) {
      parts.push(node.group === node.value.group ? wordOf(node.value.state) : `${node.value.word}, a part is ${GROUPS[node.group]}`);
      if (node.value.error) parts.push(clean(node.value.error));
    }
    const others = node.edges.slice(0, 5).map((edge) => (edge.from === node ? edge.to : edge.from).name);
    if (others.length > 0) parts.push(`connected with ${others.join(', ')}${node.edges.length > 5 ? ' and others' : ''}`);
    if (node.parent) parts.push(`in ${node.parent.name}`);
    return parts.filter(Boolean).join(', ');
  }

  renderLine(line, used) {
    const path = this.element(`line ${line.id}`, used, () => draw('path'));
    if (path.getAttribute('d') !== line.d) path.setAttribute('d', line.d);
    const isBroken = line.edges.some((edge) => edge.isBroken);
    const kind = `edge ${line.kind} ${isBroken ? 'broken' : ''}`;
    if (path.getAttribute('class') !== kind) path.setAttribute('class', kind);
    line.path = path;
    return path;
  }

  renderLabels() {
    const labelled = this.layout.lines.filter((line) => line.edges.length === 1 && line.edges[0].label);
    if (labelled.length > MOST_LABELS) return [];
    return labelled.map((line) => {
      const text = draw('text', { x: line.at.x, y: line.at.y - 5, class: 'label', 'text-anchor': line.at.anchor ?? 'middle' });
      text.textContent = clean(line.edges[0].label);
      return text;
    });
  }

  // Size

  fitting() {
    if (this.isNarrow()) return 1;
    const room = { w: this.stage.clientWidth - 2, h: this.stage.clientHeight - 2 };
    const fit = Math.min(room.w / this.layout.width, room.h / this.layout.height);
    return Math.max(ZOOMS.least, Math.min(fit, 1.15));
  }

  scale(zoom) {
    this.zoom = Math.max(ZOOMS.least, Math.min(ZOOMS.most, zoom));
    const { width, height } = this.layout;
    const scale = `scale(${this.zoom})`;
    Object.assign(this.paper.style, { width: `${width * this.zoom}px`, height: `${height * this.zoom}px` });
    Object.assign(this.boxes.style, { width: `${width}px`, height: `${height}px`, transform: scale });
    this.paper.classList.toggle('far', this.zoom < 0.55);
    this.paper.classList.toggle('dense', Boolean(this.layout.isDense));
  }

  /** Another size around a point of the stage. */
  scaleAround(zoom, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    const old = this.zoom;
    this.isFitted = false;
    this.scale(zoom);
    const factor = this.zoom / old;
    this.stage.scrollLeft = (this.stage.scrollLeft + x) * factor - x;
    this.stage.scrollTop = (this.stage.scrollTop + y) * factor - y;
  }

  // Hands

  listen() {
    this.isFitted = true;
    this.fit.addEventListener('click', () => {
      this.isFitted = true;
      this.scale(this.fitting());
    });
    this.smaller.addEventListener('click', () => this.scaleAround(this.zoom / ZOOMS.step));
    this.larger.addEventListener('click', () => this.scaleAround(this.zoom * ZOOMS.step));
    this.fold.addEventListener('click', () => this.foldAll(true));
    this.unfold.addEventListener('click', () => this.foldAll(false));
    this.boxes.addEventListener('click', (event) => this.activate(event.target.closest('button')));
    this.boxes.addEventListener('keydown', (event) => this.key(event));
    this.boxes.addEventListener('focusin', (event) => {
      const id = event.target.dataset?.id;
      if (id) this.mark(id);
      this.light(id);
    });
    this.boxes.addEventListener('focusout', () => this.light(null));
    this.boxes.addEventListener('pointerover', (event) => this.light(event.target.closest('button')?.dataset.id ?? null));
    this.stage.addEventListener('wheel', (event) => {
      if (!event.ctrlKey || this.isNarrow()) return;
      event.preventDefault();
      const { left, top } = this.stage.getBoundingClientRect();
      this.scaleAround(this.zoom * Math.exp(-event.deltaY / 300), event.clientX - left, event.clientY - top);
    }, { passive: false });
    this.drag();
    new ResizeObserver(() => this.filter && this.update(this.filter)).observe(this.stage);
  }

  drag() {
    let last = null;
    this.stage.addEventListener('pointerdown', (event) => {
      if (event.pointerType === 'mouse' && event.button === 0 && !event.target.closest('button')) last = event;
    });
    window.addEventListener('pointermove', (event) => {
      if (!last) return;
      this.stage.scrollBy(last.clientX - event.clientX, last.clientY - event.clientY);
      last = event;
    });
    for (const end of ['pointerup', 'pointercancel']) window.addEventListener(end, () => { last = null; });
  }

  foldAll(isFolded) {
    for (const space of this.scene?.spaces ?? []) this.choices.set(space.id, isFolded && space.nodes.length > 0);
    this.isFitted = true;
    this.update(this.filter);
  }

  activate(button) {
    if (!button) return;
    const id = button.dataset.id;
    const space = this.scene.spaces.find((one) => `head ${one.id}` === id);
    if (space) {
      if (space.nodes.length > 0) this.choices.set(space.id, !this.isFolded(space));
      else if (space.value) this.open(space.value.key);
      this.update(this.filter);
      return;
    }
    const node = this.scene.nodes.get(id);
    if (node?.value) this.open(node.value.key);
  }

  /** The only one that Tab comes to. */
  mark(id) {
    const old = this.elements.get(this.current);
    if (old && this.current !== id) old.tabIndex = -1;
    this.current = id;
    const element = this.elements.get(id);
    if (element) element.tabIndex = 0;
  }

  /** Shows what is connected with a node or a folded namespace. */
  light(id) {
    if (this.lit === id) return;
    this.lit = id;
    const key = id?.startsWith('head ') ? id.slice(5) : id;
    const lit = new Set();
    for (const line of this.layout?.lines ?? []) {
      const isLit = key && (line.from.id === key || line.to.id === key || line.from.space?.id === key || line.to.space?.id === key);
      line.path?.classList.toggle('lit', Boolean(isLit));
      if (isLit) for (const end of [line.from, line.to]) lit.add(this.elements.get(end.id) ?? this.elements.get(`box ${end.id}`));
    }
    for (const element of this.boxes.querySelectorAll('.linked')) if (!lit.has(element)) element.classList.remove('linked');
    for (const element of lit) element?.classList.add('linked');
    this.paper.classList.toggle('lights', lit.size > 0);
  }

  key(event) {
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    const jump = { '+': ZOOMS.step, '=': ZOOMS.step, '-': 1 / ZOOMS.step }[event.key];
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (step) this.go(event.target, step);
    else if (jump) this.scaleAround(this.zoom * jump);
    else if (event.key === '0') this.fit.click();
    else if (event.key === 'Home' || event.key === 'End') {
      const all = [...this.boxes.querySelectorAll('button')];
      all.at(event.key === 'Home' ? 0 : -1)?.focus();
    } else return;
    event.preventDefault();
  }

  /** Moves the focus to the nearest button in a direction. */
  go(button, [dx, dy]) {
    const here = centre(button);
    let best = null;
    for (const other of this.boxes.querySelectorAll('button')) {
      const there = centre(other);
      const [along, beside] = [(there.x - here.x) * dx + (there.y - here.y) * dy, Math.abs((there.x - here.x) * dy) + Math.abs((there.y - here.y) * dx)];
      if (other === button || along < 2 * this.zoom) continue;
      const far = along + 3 * beside;
      if (!best || far < best.far) best = { far, other };
    }
    best?.other.focus();
  }
}

function centre(element) {
  const { left, top, width, height } = element.getBoundingClientRect();
  return { x: left + width / 2, y: top + height / 2 };
}

function place(element, { x, y, w, h }) {
  const text = `${x} ${y} ${w} ${h}`;
  if (element.dataset.place === text) return;
  element.dataset.place = text;
  Object.assign(element.style, { left: `${x}px`, top: `${y}px`, width: `${w}px`, height: `${h}px` });
}

function setClass(element, text) {
  const className = text.replace(/\s+/g, ' ').trim();
  if (element.dataset.class === className) return;
  element.dataset.class = className;
  element.className = className;
}

/** Puts children into an order without touching those that stand right. */
function arrange(parent, children) {
  let next = parent.firstChild;
  for (const child of children) {
    if (child === next) next = next.nextSibling;
    else parent.insertBefore(child, next);
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  }
}
