// DO NOT EDIT. Made by scripts/generate from Sources/Northbound/Page/Files.
// swift-format-ignore-file

extension PageFile {
    static let all = [
PageFile(name: "details.js", type: "text/javascript; charset=utf-8", tag: "\"521140285f053a1a565f\"", text: ###"""
// All that is known of one value, beside the views.

import { bdi, clock, make, sign } from './text.js';

const FACTS = [
  ['host', 'Name in the kernel'], ['addresses', 'Addresses'], ['peer', 'Other end'], ['ports', 'Ports'], ['parent', 'On top of'],
  ['vrf', 'VRF'], ['local', 'Local end'], ['remote', 'Remote end'], ['id', 'Number'], ['service', 'Network service'],
  ['interface', 'Interface'], ['prefix', 'Interfaces'],
];
const CODE = new Set(['Key', 'Source', 'MAC address']);
const MOST = 40;

export class Details {
  constructor(store) {
    this.store = store;
    this.element = document.getElementById('details');
    this.key = null;
    this.element.addEventListener('keydown', (event) => event.key === 'Escape' && this.close());
  }

  open(key) {
    if (!this.store.values.has(key)) return;
    if (!this.element.contains(document.activeElement)) this.opener = document.activeElement;
    this.key = key;
    this.update(true);
    this.element.hidden = false;
    document.body.classList.add('has-details');
    this.element.querySelector('h2').focus();
  }

  close() {
    const hadFocus = this.element.contains(document.activeElement);
    this.key = null;
    this.element.hidden = true;
    document.body.classList.remove('has-details');
    if (hadFocus && this.opener?.isConnected) this.opener.focus();
  }

  update(isNew = false) {
    if (!this.key) return;
    const value = this.store.values.get(this.key);
    const known = [value, this.store.partsOf(this.key), this.store.usersOf(this.key)].flat();
    // What stands there stays, with the focus and what is marked in it, unless something else is to be said.
    if (!isNew && known.length === this.known?.length && known.every((one, index) => one === this.known[index])) return;
    this.known = known;
    const focused = isNew ? null : this.element.contains(document.activeElement) && document.activeElement.dataset.key;
    const scroll = this.element.scrollTop;
    const shut = make('button', { type: 'button', className: 'shut', 'aria-label': 'Close', textContent: '×' });
    shut.dataset.key = 'shut';
    shut.addEventListener('click', () => this.close());
    this.element.replaceChildren(shut, ...(value ? this.content(value) : [
      make('h2', { id: 'details-name', tabIndex: -1, textContent: 'Gone' }), make('p', {}, bdi(this.key, 'key'), ' is no value any more.')]));
    if (isNew) this.element.scrollTop = 0;
    else this.element.scrollTop = scroll;
    if (focused) ([...this.element.querySelectorAll('[data-key]')].find((one) => one.dataset.key === focused) ?? shut).focus();
    else if (focused === undefined) this.element.querySelector('h2').focus();
  }

  content(value) {
    const parts = [
      make('h2', { id: 'details-name', tabIndex: -1 }, bdi(value.net?.name ?? value.summary ?? value.key)),
      make('p', { className: `state ${value.group}` }, sign(value.group), make('strong', { textContent: value.word }), ` since ${clock(value.since)}`),
      value.summary && value.net?.name ? make('p', {}, bdi(value.summary)) : null,
      value.error ? make('p', { className: 'error' }, bdi(value.error)) : null,
      value.retry ? make('p', { textContent: `Next try at ${clock(value.retry)}` }) : null,
    ];
    if (value.details) {
      parts.push(make('h3', { textContent: value.state === 'PENDING' ? 'Waiting for' : 'Details' }),
        make('ul', {}, ...value.details.map((one) => make('li', {}, bdi(one)))));
    }
    parts.push(this.facts(value));
    parts.push(...this.list('Parts', this.store.partsOf(value.key)));
    if (value.base) parts.push(...this.list('Part of', [this.store.values.get(value.base)].filter(Boolean)));
    parts.push(...this.list('Needs', (value.needs ?? []).map((key) => this.store.values.get(key) ?? { key, group: 'gone', word: 'not there' })));
    parts.push(...this.list('Needed by', this.store.usersOf(value.key)));
    return parts.filter(Boolean);
  }

  facts(value) {
    const facts = [['Kind', value.net?.type ? `${value.kind}, ${value.net.type}` : value.kind]];
    const space = value.net?.space;
    if (space) facts.push([space[0] === 'microservice' ? 'Container' : 'Namespace', space[0] === 'process' ? `of process ${space[1]}` : space[1]]);
    for (const [name, word] of FACTS) if (value.net?.[name] !== undefined) facts.push([word, [value.net[name]].flat().join(', ')]);
    const device = value.net?.device;
    if (value.net?.is === 'interface') facts.push(['Link', linkText(value.net)]);
    if (device?.mac) facts.push(['MAC address', device.mac]);
    if (device?.mtu) facts.push(['MTU', device.mtu]);
    if (device) facts.push(['Index', device.index]);
    if (value.source) facts.push(['Source', value.source]);
    if (value.others) facts.push(['Also declared by', value.others.join(', ')]);
    facts.push(['Key', value.key]);
    return make('dl', {}, ...facts.flatMap(([word, text]) => [
      make('dt', { textContent: word }), make('dd', { className: CODE.has(word) ? 'code' : '' }, bdi(text))]));
  }

  /** Other values, to go on to. */
  list(title, values) {
    if (values.length === 0) return [];
    const items = values.slice(0, MOST).map((value) => {
      const isKnown = this.store.values.has(value.key);
      const text = bdi(value.summary ?? value.key);
      const go = isKnown ? make('button', { type: 'button', className: 'link' }, text) : text;
      if (isKnown) {
        go.dataset.key = value.key;
        go.addEventListener('click', () => this.open(value.key));
      }
      return make('li', { className: `state ${value.group}` }, sign(value.group), go, make('span', { className: 'unseen', textContent: ` ${value.word}` }),
        value.why ? make('small', {}, bdi(value.why)) : null);
    });
    if (values.length > MOST) items.push(make('li', { textContent: `and ${values.length - MOST} more` }));
    return [make('h3', { textContent: title }), make('ul', { className: 'values' }, ...items)];
  }
}

function linkText({ up, device }) {
  if (!device) return `${up ? 'to be up' : 'to be down'}; not in the kernel`;
  return `${device.up ? 'up' : 'down'}${device.up && !device.running ? ', no carrier' : ''}${up === device.up ? '' : `; to be ${up ? 'up' : 'down'}`}`;
}


"""###),
PageFile(name: "feed.js", type: "text/javascript; charset=utf-8", tag: "\"0c61464c474be67b4794\"", text: ###"""
// What the agent tells: all there is at first, then what changes of it.

const POLL = 10_000;
const RETRY = 60_000;
const HIDDEN = 60_000;

/**
 * Follows the agent for as long as the page is looked at.
 *
 * `take(part, isWhole)` gets what came; `tell(is, text)` how the connection stands: live, slow, lost, refused or asleep.
 */
export function follow(take, tell) {
  let source = null;
  let timer = 0;
  let sleep = 0;

  function begin() {
    close();
    source = new EventSource('/ui/events');
    source.addEventListener('state', (event) => {
      take(JSON.parse(event.data), true);
      tell('live', 'Live');
    });
    source.addEventListener('change', (event) => take(JSON.parse(event.data), false));
    source.addEventListener('error', () => {
      // A browser comes back by itself unless it was refused: by too many pages, or as somebody who may not look.
      if (source?.readyState === EventSource.CLOSED) poll(Date.now() + RETRY);
      else tell('lost', 'Connection lost; trying again');
    });
  }

  async function poll(end) {
    close();
    try {
      const answer = await fetch('/ui/state', { cache: 'no-store' });
      if (!answer.ok) {
        tell('refused', answer.status === 401 || answer.status === 403 ? 'Not allowed to look' : `Error ${answer.status}`);
      } else {
        take(await answer.json(), true);
        tell('slow', `Every ${POLL / 1000} s: too many pages follow`);
      }
    } catch {
      tell('lost', 'The agent does not answer; trying again');
    }
    timer = setTimeout(() => (Date.now() < end ? poll(end) : begin()), POLL);
  }

  function close() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  // Nobody sees a hidden page, and the agent has no work with it.
  document.addEventListener('visibilitychange', () => {
    clearTimeout(sleep);
    if (!document.hidden) {
      if (!source && !timer) begin();
      return;
    }
    sleep = setTimeout(() => {
      close();
      timer = 0;
      tell('asleep', 'Paused while hidden');
    }, HIDDEN);
  });
  // A page that is left and may be come back to keeps no connection.
  addEventListener('pagehide', close);
  addEventListener('pageshow', (event) => event.persisted && begin());
  begin();
}

"""###),
PageFile(name: "history.js", type: "text/javascript; charset=utf-8", tag: "\"90858154244994c9abf1\"", text: ###"""
// What was done, the newest first, with a strip that shows when.

import { groupOf, wordOf } from './model.js';
import { bdi, clean, clock, count, make, put, sign, span } from './text.js';

const VERBS = { create: 'created', update: 'changed', recreate: 'recreated', delete: 'removed', revert: 'undone' };
const OPERATIONS = { CREATE: ['+', 'created'], UPDATE: ['~', 'changed'], DELETE: ['−', 'removed'] };
/** Operations that are shown of a transaction before somebody asks for all. */
const MOST = 200;

export class History {
  constructor(store, open) {
    this.store = store;
    this.open = open;
    for (const id of ['strip', 'transactions', 'no-history']) this[id] = document.getElementById(id);
    this.items = new Map();
    this.strip.addEventListener('click', (event) => this.show(event.target.dataset.number));
  }

  update() {
    const all = [...this.store.transactions].reverse();
    this['no-history'].hidden = all.length > 0;
    const known = new Set(all.map((one) => one.number));
    for (const [number, item] of this.items) {
      if (known.has(number)) continue;
      item.remove();
      this.items.delete(number);
    }
    let next = this.transactions.firstChild;
    for (const one of all) {
      const item = this.item(one);
      if (item === next) next = next.nextSibling;
      else this.transactions.insertBefore(item, next);
    }
    this.drawStrip(all);
    this.tick();
  }

  item(one) {
    const known = this.items.get(one.number);
    if (known) return known;
    const done = Object.entries(one.verbs).map(([verb, number]) => `${number} ${VERBS[verb] ?? verb}`);
    const group = one.failed ? 'bad' : 'good';
    const summary = make('summary', {},
      make('span', { className: 'number', textContent: `#${one.number}` }),
      make('span', { className: `state ${group}` }, sign(group), make('span', { className: 'unseen', textContent: one.failed ? 'with failures' : 'done' })),
      make('time', { textContent: clock(one.start) }),
      make('span', { className: 'reason', textContent: clean(one.reason) }),
      make('span', { className: 'done', textContent: `${one.found ? `${one.found}: ` : ''}${done.join(', ') || 'nothing to do'}` }),
      one.failed ? make('span', { className: 'failed', textContent: `${one.failed} failed` }) : null,
      one.reverted ? make('span', { className: 'failed', textContent: 'undone' }) : null,
      make('span', { className: 'took' }, span(one.seconds)),
      make('span', { className: 'ago' }));
    const list = make('div', { className: 'operations' });
    const details = make('details', {}, summary, list);
    details.addEventListener('toggle', () => details.open && !list.firstChild && this.load(one, list), false);
    const item = make('li', { className: group }, details);
    item.one = one;
    this.items.set(one.number, item);
    return item;
  }

  async load(one, list) {
    list.textContent = 'Loading…';
    try {
      const answer = await fetch(`/scheduler/txn-history?seq-num=${one.number}`, { cache: 'no-store' });
      if (!answer.ok) throw new Error(answer.status === 404 ? 'the agent remembers it no more' : `error ${answer.status}`);
      const all = (await answer.json()).Executed ?? [];
      list.replaceChildren(this.operations(all.slice(0, MOST)));
      for (const change of one.details ?? []) list.append(make('p', {}, 'Found: ', bdi(change)));
      for (const loss of one.losses ?? []) list.append(make('p', { className: 'failed' }, 'Of others went: ', bdi(loss)));
      if (one.omitted) list.append(make('p', { textContent: `${count(one.omitted, 'more operation')} were not kept.` }));
      if (all.length > MOST) {
        const more = make('button', { type: 'button', textContent: `Show all ${all.length}` });
        more.addEventListener('click', () => list.replaceChildren(this.operations(all)));
        list.append(more);
      }
    } catch (error) {
      list.textContent = `It can't be shown: ${error.message}`;
    }
  }

  operations(all) {
    return make('ol', {}, ...all.map((one) => {
      const [mark, word] = one.IsRevert ? ['↶', 'undone'] : one.IsRecreate ? ['±', 'recreated'] : OPERATIONS[one.Operation] ?? ['·', one.Operation];
      const group = one.NewErrMsg ? 'bad' : groupOf(one.NewState);
      const what = make('button', { type: 'button', className: 'link' }, bdi(one.Summary || one.Key || ''));
      what.addEventListener('click', () => one.Key && this.open(one.Key));
      return make('li', { className: one.NewErrMsg ? 'bad' : '' },
        make('span', { className: `verb ${one.Operation?.toLowerCase()}`, title: word }, mark, make('span', { className: 'unseen', textContent: ` ${word} ` })),
        what,
        make('span', { className: `state ${group}` }, sign(group), `${wordOf(one.PrevState)} → ${wordOf(one.NewState)}`),
        one.NewErrMsg ? make('p', { className: 'failed' }, bdi(one.NewErrMsg)) : null);
    }));
  }

  // The strip

  /** Bars where transactions began; the more was done the higher. */
  drawStrip(all) {
    this.strip.hidden = all.length < 2;
    if (all.length < 2) return;
    const end = Date.now();
    const begin = Math.min(...all.map((one) => one.start));
    const length = Math.max(end - begin, 1000);
    const bars = all.map((one) => {
      const bar = make('i', { className: one.failed ? 'bad' : 'good', title: `#${one.number} ${clock(one.start)}` });
      bar.dataset.number = one.number;
      const steps = Object.values(one.verbs).reduce((a, b) => a + b, 0);
      bar.style.left = `${(100 * (one.start - begin)) / length}%`;
      bar.style.height = `${Math.min(100, 22 + 20 * Math.log10(1 + steps))}%`;
      return bar;
    });
    const from = make('span', { className: 'from', textContent: clock(begin) });
    this.strip.replaceChildren(...bars, from, make('span', { className: 'to', textContent: 'now' }));
  }

  show(number) {
    const item = this.items.get(Number(number));
    if (!item) return;
    item.firstChild.open = true;
    item.scrollIntoView({ block: 'center' });
  }

  /** How long ago things were. */
  tick() {
    for (const item of this.items.values()) {
      put(item.querySelector('.ago'), `${span((Date.now() - item.one.start) / 1000)} ago`);
    }
  }
}

"""###),
PageFile(name: "layout.js", type: "text/javascript; charset=utf-8", tag: "\"dbcbad82b708721b4161\"", text: ###"""
// Where everything of a scene stands. A pure function of the scene's structure, not of its states: the same network gives the
// same picture, and nothing moves because something fails. Namespaces stand in layers by how far they are from the one in the
// middle; inside, ports stand in their bridges.

import { byName } from './text.js';
import { pathOf, loopOf } from './route.js';

export const CHIP = { w: 186, h: 46 };
const TILE = { w: 186, h: 48 };
/** How small folded namespaces are when there are many. */
const DENSE = { w: 132, h: 34 };
const LARGE = { w: 230, h: 60 };
const GAP = 8;
const PAD = 10;
const HEAD = 38;
const BETWEEN = { layers: 110, boxes: 22 };
const MARGIN = 14;
const MANY = 80;
/** What narrow screens have at the right for lines. */
const RAIL = 40;

/**
 * Places of boxes, frames, chips and lines. `view` has width, height, isNarrow and isFolded(space).
 *
 * Of some shapes that which is largest on the screen is taken.
 */
export function layoutOf(scene, view) {
  if (view.isNarrow) return layoutIn(scene, { ...view, spread: 1 });
  const isLarge = scene.nodes.size > 400;
  let best = null;
  for (const shape of isLarge ? SHAPES.slice(-2) : SHAPES) {
    const sheet = layoutIn(scene, { ...view, ...shape });
    const zoom = Math.min(view.width / sheet.width, view.height / sheet.height, 1.15);
    if (!best || zoom > best.zoom * 1.04) best = { zoom, sheet };
  }
  return best.sheet;
}

/** How many columns namespaces have inside, and where those stand that hang on nothing. */
const SHAPES = [1, 2, 3].flatMap((spread) => [{ spread, isBeside: false }, { spread, isBeside: true }]);

function layoutIn(scene, options) {
  const view = { ...options, isDense: scene.spaces.length > MANY };
  const boxes = scene.spaces.map((space) => boxOf(space, view));
  const sheet = view.isNarrow ? column(boxes, view) : layered(boxes, scene, view);
  const ends = new Map();
  for (const box of boxes) {
    ends.set(box.space.id, { box, x: box.x, y: box.y, w: box.w, h: box.h });
    for (const chip of box.chips) {
      ends.set(chip.node.id, { box, x: box.x + chip.x, y: box.y + chip.y, w: chip.w, h: chip.h });
    }
  }
  return { ...sheet, boxes, isDense: view.isDense, lines: lines(scene, ends, sheet, view) };
}

// Inside of a namespace

function boxOf(space, view) {
  const box = { space, isFolded: view.isFolded(space), x: 0, y: 0, chips: [], frames: [], layer: 0, row: 0, column: 0 };
  if (box.isFolded) {
    const tile = !view.isDense ? TILE : space.id === 'own' ? LARGE : DENSE;
    return Object.assign(box, { w: view.isNarrow ? view.width - 2 * MARGIN - RAIL : tile.w, h: tile.h });
  }
  const room = view.isNarrow ? view.width - 2 * MARGIN - RAIL - 2 * PAD : CHIP.w;
  const inner = pack(space.roots.map((node) => blockOf(node, room, view)), view);
  emit(inner.placed, PAD, HEAD, box);
  box.w = Math.max(inner.w, room) + 2 * PAD;
  box.h = HEAD + inner.h + (inner.h > 0 ? PAD : 0);
  return box;
}

/** A node with what is in it. */
function blockOf(node, room, view) {
  if (node.children.length === 0) return { node, w: room, h: CHIP.h, inner: null };
  const smaller = view.isNarrow ? room - 2 * PAD : room;
  const inner = pack(node.children.map((child) => blockOf(child, smaller, view)), view, 1);
  return { node, w: Math.max(inner.w, smaller) + 2 * PAD, h: CHIP.h + GAP + inner.h + 2 * PAD, inner };
}

/** Single nodes in columns, and those that hold others below and beside them. */
function pack(blocks, view, mostPiles = view.spread) {
  const single = blocks.filter((block) => !block.inner);
  const nests = blocks.filter((block) => block.inner);
  const placed = [];
  const most = view.isNarrow ? 1 : Math.min(14, Math.ceil(Math.sqrt((single.length * view.spread) / 8)));
  const rows = Math.ceil(single.length / Math.max(1, most));
  const columns = rows > 0 ? Math.ceil(single.length / rows) : 0;
  single.forEach((block, index) => {
    placed.push({ block, x: Math.floor(index / rows) * (block.w + GAP), y: (index % rows) * (CHIP.h + GAP) });
  });
  const piles = Array.from({ length: Math.max(1, Math.min(mostPiles, nests.length + (rows > 0))) }, () => ({ w: 0, h: 0, held: [] }));
  if (rows > 0) Object.assign(piles[0], { w: columns * (single[0].w + GAP) - GAP, h: rows * (CHIP.h + GAP) });
  for (const block of nests) {
    const pile = piles.reduce((a, b) => (b.h < a.h ? b : a));
    pile.held.push({ block, y: pile.h });
    Object.assign(pile, { w: Math.max(pile.w, block.w), h: pile.h + block.h + GAP });
  }
  let x = 0;
  for (const pile of piles) {
    for (const { block, y } of pile.held) placed.push({ block, x, y });
    x += pile.w + GAP;
  }
  return { w: Math.max(0, x - GAP), h: Math.max(0, ...piles.map((pile) => pile.h - GAP)), placed };
}

function emit(placed, left, top, box) {
  for (const { block, x, y } of placed) {
    if (!block.inner) {
      box.chips.push({ node: block.node, x: left + x, y: top + y, w: block.w, h: block.h });
      continue;
    }
    box.frames.push({ node: block.node, x: left + x, y: top + y, w: block.w, h: block.h });
    box.chips.push({ node: block.node, x: left + x + PAD, y: top + y + PAD, w: block.w - 2 * PAD, h: CHIP.h });
    emit(block.inner.placed, left + x + PAD, top + y + PAD + CHIP.h + GAP, box);
  }
}

// Namespaces among each other

const isOutside = (space) => space.id === 'remote' || space.id === 'services';

/** One below the other. */
function column(boxes, view) {
  let y = MARGIN;
  const order = { own: 0, services: 2, remote: 3 };
  boxes.sort((a, b) => (order[a.space.id] ?? 1) - (order[b.space.id] ?? 1));
  for (const box of boxes) {
    [box.x, box.y] = [MARGIN, y];
    y += box.h + BETWEEN.boxes;
  }
  return { width: view.width, height: y - BETWEEN.boxes + MARGIN, grids: [] };
}

function layered(boxes, scene, view) {
  const inside = boxes.filter((box) => !isOutside(box.space));
  const outside = boxes.filter((box) => isOutside(box.space));
  const near = neighbours(scene);
  const { layers, alone } = layersOf(inside, near);
  const grids = [];
  let x = MARGIN;
  const isLeft = outside.length > 0 && leansLeft(scene, layers);
  if (isLeft) x = add(grids, outside, x, -1, view);
  layers.forEach((layer, number) => {
    if (number > 0) sortByNeighbours(layer, near, grids);
    x = add(grids, layer, x, number, view);
  });
  if (outside.length > 0 && !isLeft) x = add(grids, outside, x, layers.length, view);
  const height = Math.max(0, ...grids.map((grid) => grid.h));
  for (const grid of grids) shift(grid, MARGIN + (height - grid.h) / 2);
  const sheet = { width: x - BETWEEN.layers + MARGIN, height: height + 2 * MARGIN, grids };
  if (grids.length === 0) Object.assign(sheet, { width: 2 * MARGIN, height: 2 * MARGIN });
  if (alone.length > 0) addAlone(sheet, alone, layers.length + 1, view);
  return sheet;
}

/** Puts what hangs on nothing below the layers, or beside them. */
function addAlone(sheet, boxes, number, view) {
  for (const box of boxes) box.layer = number;
  const isFirst = sheet.grids.length === 0;
  if (view.isBeside && !isFirst) {
    let columns = 1;
    let grid = gridOf(boxes, columns);
    while (grid.h > sheet.height - 2 * MARGIN && columns < boxes.length) grid = gridOf(boxes, (columns += 1));
    move(grid, sheet.width - MARGIN + BETWEEN.layers / 2, MARGIN);
    sheet.width += grid.w + BETWEEN.layers / 2;
    sheet.height = Math.max(sheet.height, grid.h + 2 * MARGIN);
    return;
  }
  const room = isFirst ? areaOf(boxes) * Math.sqrt(view.width / Math.max(view.height, 200)) : Math.max(sheet.width - 2 * MARGIN, areaOf(boxes) * 1.3);
  const grid = gridOf(boxes, columnsFor(boxes, room));
  move(grid, MARGIN, isFirst ? MARGIN : sheet.height - MARGIN + BETWEEN.boxes);
  sheet.width = Math.max(sheet.width, grid.w + 2 * MARGIN);
  sheet.height += grid.h + (isFirst ? 0 : BETWEEN.boxes);
}

/** Puts a layer to the right of the others. Returns where the next one may begin. */
function add(grids, boxes, x, number, view) {
  const tallest = Math.max(view.height * 1.2, areaOf(boxes) * 0.85, ...grids.map((grid) => grid.h));
  let columns = 1;
  let grid = gridOf(boxes, columns);
  while (grid.h > tallest && columns < boxes.length) grid = gridOf(boxes, (columns += 1));
  move(grid, x, 0);
  for (const box of boxes) box.layer = number;
  grids.push(Object.assign(grid, { number, x }));
  return x + grid.w + BETWEEN.layers;
}

const areaOf = (boxes) => Math.sqrt(boxes.reduce((sum, box) => sum + (box.w + BETWEEN.boxes) * (box.h + BETWEEN.boxes), 0));

function columnsFor(boxes, width) {
  const widest = Math.max(...boxes.map((box) => box.w)) + BETWEEN.boxes;
  return Math.max(1, Math.min(boxes.length, Math.floor((width + BETWEEN.boxes) / widest)));
}

/** Boxes in rows, all of a column as wide as its widest, so that lines pass between them. */
function gridOf(boxes, columns) {
  const rows = Math.ceil(boxes.length / columns);
  const widths = Array(columns).fill(0);
  const heights = Array(rows).fill(0);
  boxes.forEach((box, index) => {
    [box.row, box.column] = [Math.floor(index / columns), index % columns];
    widths[box.column] = Math.max(widths[box.column], box.w);
    heights[box.row] = Math.max(heights[box.row], box.h);
  });
  const lefts = runs(widths);
  const tops = runs(heights);
  for (const box of boxes) [box.x, box.y] = [lefts[box.column], tops[box.row]];
  const w = lefts[columns - 1] + widths[columns - 1];
  return { boxes, columns, lefts, tops, w, h: tops[rows - 1] + heights[rows - 1] };
}

function runs(sizes) {
  let place = 0;
  return sizes.map((size) => {
    const start = place;
    place += size + BETWEEN.boxes;
    return start;
  });
}

function move(grid, x, y) {
  grid.lefts = grid.lefts.map((left) => left + x);
  for (const box of grid.boxes) box.x += x;
  shift(grid, y);
}

function shift(grid, y) {
  grid.tops = grid.tops.map((top) => top + y);
  for (const box of grid.boxes) box.y += y;
}

function neighbours(scene) {
  const near = new Map(scene.spaces.map((space) => [space, new Map()]));
  for (const { from, to } of scene.edges) {
    if (from.space === to.space) continue;
    for (const [a, b] of [[from, to], [to, from]]) {
      const found = near.get(a.space);
      found.set(b.space, [...(found.get(b.space) ?? []), b]);
    }
  }
  return near;
}

/** Layers by distance from the middle of each part that hangs together, and those that hang on nothing. */
function layersOf(boxes, near) {
  const boxOfSpace = new Map(boxes.map((box) => [box.space, box]));
  const inner = (space) => [...near.get(space).keys()].filter((other) => boxOfSpace.has(other));
  const weight = (box) => (box.space.id === 'own' ? 1e9 : inner(box.space).length);
  const starts = [...boxes].sort((a, b) => weight(b) - weight(a));
  const [layers, alone, seen] = [[], [], new Set()];
  for (const start of starts) {
    if (seen.has(start)) continue;
    if (near.get(start.space).size === 0 && boxes.length > 1) {
      alone.push(start);
      continue;
    }
    seen.add(start);
    for (let layer = [start], depth = 0; layer.length > 0; depth += 1) {
      (layers[depth] ??= []).push(...layer);
      const next = layer.flatMap((box) => inner(box.space)).map((space) => boxOfSpace.get(space));
      layer = [...new Set(next)].filter((box) => !seen.has(box));
      for (const box of layer) seen.add(box);
    }
  }
  alone.sort((a, b) => (b.space.id === 'own') - (a.space.id === 'own') || byName(a.space.label, b.space.label));
  return { layers, alone };
}

/** Whether more of what goes beyond the host begins in the first layer. */
function leansLeft(scene, layers) {
  const first = new Set(layers[0]?.map((box) => box.space));
  const ends = scene.edges.filter((edge) => isOutside(edge.to.space));
  return ends.filter((edge) => first.has(edge.from.space)).length * 2 >= ends.length;
}

/** The order in which lines to the layers before cross least. */
function sortByNeighbours(layer, near, grids) {
  const height = new Map();
  for (const box of grids.flatMap((grid) => grid.boxes)) {
    height.set(box.space, box.y + box.h / 2);
    for (const chip of box.chips) height.set(chip.node, box.y + chip.y);
  }
  const wish = new Map(layer.map((box) => {
    const ys = [...near.get(box.space)].flatMap(([space, nodes]) => nodes.map((node) => height.get(node) ?? height.get(space)))
      .filter((y) => y !== undefined);
    return [box, ys.length > 0 ? ys.reduce((a, b) => a + b, 0) / ys.length : 1e9];
  }));
  layer.sort((a, b) => wish.get(a) - wish.get(b) || byName(a.space.label, b.space.label) || byName(a.space.id, b.space.id));
}

// Lines

/** One line for all connections between the same two places of the picture. */
function lines(scene, ends, sheet, view) {
  const found = new Map();
  for (const edge of scene.edges) {
    const [from, to] = [edge.from, edge.to].map((node) => (ends.has(node.id) ? node : node.space));
    if (from === to) continue;
    const id = `${edge.kind} ${from.id} ${to.id}`;
    const line = found.get(id) ?? { id, kind: edge.kind, from, to, edges: [] };
    line.edges.push(edge);
    found.set(id, line);
  }
  const gridsByLayer = new Map(sheet.grids.map((grid) => [grid.number, grid]));
  for (const line of found.values()) {
    const [a, b] = [ends.get(line.from.id), ends.get(line.to.id)];
    Object.assign(line, view.isNarrow ? { a, b } : pathOf(a, b, gridsByLayer));
  }
  if (view.isNarrow) lanes([...found.values()]);
  return [...found.values()];
}

/** Gives lines at the right side of a narrow screen places beside each other, short ones inside. */
function lanes(all) {
  const taken = Array.from({ length: 6 }, () => []);
  const sorted = all.map((line) => ({ line, top: Math.min(line.a.y, line.b.y), bottom: Math.max(line.a.y + line.a.h, line.b.y + line.b.h) }))
    .sort((one, two) => one.bottom - one.top - (two.bottom - two.top));
  for (const one of sorted) {
    let lane = taken.findIndex((others) => others.every((other) => other.bottom < one.top || other.top > one.bottom));
    if (lane < 0) lane = taken.length - 1;
    taken[lane].push(one);
    Object.assign(one.line, loopOf(one.line.a, one.line.b, 7 + lane * 5.5));
  }
}

"""###),
PageFile(name: "main.js", type: "text/javascript; charset=utf-8", tag: "\"66727a8fae89db7eebed\"", text: ###"""
// The page: what the agent tells goes into the store, and from there into the view that is seen.

import { Details } from './details.js';
import { follow } from './feed.js';
import { History } from './history.js';
import { Filter, GROUPS, Store } from './model.js';
import { Picture } from './picture.js';
import { Table } from './table.js';
import { bdi, clean, make, put, sign } from './text.js';

const VIEWS = ['picture', 'values', 'history'];
const byId = (id) => document.getElementById(id);

const store = new Store();
const filter = new Filter();
const details = new Details(store);
const open = (key) => details.open(key);
const views = { picture: new Picture(store, open), values: new Table(store, open), history: new History(store, open) };
let seen = 'picture';
let isDue = false;

// What is drawn

/** Draws what is seen once for all that changed since the last time. */
function change() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    views[seen].update(filter);
    details.update();
    head();
  });
}

function head() {
  const { agent } = store;
  put(byId('version'), [agent.version, agent.ready === false ? 'starting' : ''].filter(Boolean).join(' · '));
  const label = agent.label ? clean(agent.label) : 'nsm-agent';
  put(byId('title'), label);
  document.title = `${label} · nsm-agent`;
  notes(agent);
  const counts = store.counts();
  for (const [group, button] of buttons) {
    put(button.lastChild, String(counts[group].toLocaleString('en')));
    button.hidden = counts[group] === 0 && !filter.groups.has(group) && group !== 'good';
  }
  const kinds = store.kinds();
  const select = byId('kind');
  if (kinds.join() !== select.dataset.kinds) {
    select.dataset.kinds = kinds.join();
    select.replaceChildren(make('option', { value: '', textContent: 'All kinds' }),
      ...kinds.map((kind) => make('option', { value: kind, textContent: clean(kind), selected: kind === filter.kind })));
  }
}

function notes(agent) {
  const all = [...(agent.mistakes ?? []).map((text) => ['bad', text]), ...(agent.warnings ?? []).map((text) => ['wait', text])];
  const text = JSON.stringify(all);
  const place = byId('notes');
  if (place.dataset.all === text) return;
  place.dataset.all = text;
  place.hidden = all.length === 0;
  place.replaceChildren(...all.slice(0, 20).map(([group, note]) => make('p', { className: `state ${group}` }, sign(group),
    make('span', { className: 'unseen', textContent: group === 'bad' ? 'Mistake: ' : 'Warning: ' }), bdi(note))));
}

// What people do

const buttons = new Map(Object.entries(GROUPS).map(([group, word]) => {
  const button = make('button', { type: 'button', className: `state ${group}`, 'aria-pressed': 'false' }, sign(group), `${word} `, make('b'));
  button.addEventListener('click', () => {
    if (!filter.groups.delete(group)) filter.groups.add(group);
    button.setAttribute('aria-pressed', String(filter.groups.has(group)));
    change();
  });
  byId('states').append(button);
  return [group, button];
}));

byId('filter').addEventListener('submit', (event) => event.preventDefault());
byId('text').addEventListener('input', (event) => {
  filter.text = event.target.value.trim();
  change();
});
byId('kind').addEventListener('change', (event) => {
  filter.kind = event.target.value;
  change();
});
byId('parts').addEventListener('change', (event) => {
  filter.parts = event.target.checked;
  change();
});

function show(view, takesFocus) {
  seen = view;
  for (const name of VIEWS) {
    const tab = byId(`tab-${name}`);
    tab.setAttribute('aria-selected', String(name === view));
    tab.tabIndex = name === view ? 0 : -1;
    byId(name).hidden = name !== view;
    if (name === view && takesFocus) tab.focus();
  }
  document.body.dataset.view = view;
  change();
}

for (const name of VIEWS) {
  byId(`tab-${name}`).addEventListener('click', () => {
    history.replaceState(null, '', `#${name}`);
    show(name);
  });
}
document.querySelector('[role=tablist]').addEventListener('keydown', (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const next = VIEWS[(VIEWS.indexOf(seen) + step + VIEWS.length) % VIEWS.length];
  history.replaceState(null, '', `#${next}`);
  show(next, true);
});
document.addEventListener('keydown', (event) => {
  const isTyping = event.target.matches?.('input, select, textarea');
  if (event.key === '/' && !isTyping) {
    event.preventDefault();
    byId('text').focus();
  } else if (event.key === 'Escape' && !isTyping) details.close();
});
addEventListener('hashchange', () => VIEWS.includes(location.hash.slice(1)) && show(location.hash.slice(1)));

show(VIEWS.includes(location.hash.slice(1)) ? location.hash.slice(1) : 'picture');
setInterval(() => views[seen].tick?.(), 1000);
follow((part, isWhole) => {
  store.take(part, isWhole);
  change();
}, (is, text) => {
  byId('live').dataset.is = is;
  put(byId('live'), text);
});

"""###),
PageFile(name: "model.js", type: "text/javascript; charset=utf-8", tag: "\"7ec62e9a0b633e2352d7\"", text: ###"""
// Values and their states, as the views need them.

import { byName } from './text.js';

/** Groups of states: each has a colour, a shape and a word. The worst comes first. */
export const GROUPS = {
  bad: 'failed',
  retry: 'retrying',
  wait: 'waiting',
  gone: 'not there',
  good: 'in place',
};

const STATES = {
  CONFIGURED: ['good', 'in place'],
  OBTAINED: ['good', 'there without our doing'],
  DISCOVERED: ['good', 'found there'],
  PENDING: ['wait', 'waiting'],
  RETRYING: ['retry', 'retrying'],
  FAILED: ['bad', 'failed'],
  INVALID: ['bad', 'invalid'],
  MISSING: ['gone', 'missing'],
  UNIMPLEMENTED: ['gone', 'not implemented'],
  REMOVED: ['gone', 'removed'],
  NONEXISTENT: ['gone', 'not there'],
};

export const groupOf = (state) => STATES[state]?.[0] ?? 'gone';
export const wordOf = (state) => STATES[state]?.[1] ?? state;
const RANK = Object.fromEntries(Object.keys(GROUPS).map((group, rank) => [group, rank]));
export const rankOf = (group) => RANK[group];
export const worst = (groups) => groups.reduce((a, b) => (RANK[b] < RANK[a] ? b : a), 'good');

/** All that is known of the agent. */
export class Store {
  agent = {};
  values = new Map();
  transactions = [];
  /** Derived values by the key of what they are derived from. */
  parts = new Map();
  /** Values by the key of what they need. */
  users = new Map();

  take(part, isWhole) {
    if (part.agent) this.agent = part.agent;
    if (isWhole) this.values = new Map();
    for (const value of part.values ?? []) this.values.set(value.key, prepared(value));
    for (const key of part.gone ?? []) this.values.delete(key);
    if (isWhole) this.transactions = [];
    if (part.transactions) this.transactions = [...this.transactions, ...part.transactions].slice(-200);
    if (isWhole || part.values || part.gone) this.relate();
  }

  relate() {
    this.parts = new Map();
    this.users = new Map();
    for (const value of this.values.values()) {
      if (value.base) add(this.parts, value.base, value);
      for (const key of value.needs ?? []) add(this.users, key, value);
    }
  }

  partsOf(key) {
    return this.parts.get(key) ?? [];
  }

  usersOf(key) {
    return this.users.get(key) ?? [];
  }

  /** The worst group of a value and of what is derived from it. */
  groupWithParts(value) {
    return worst([value.group, ...this.partsOf(value.key).map((part) => part.group)]);
  }

  counts() {
    const counts = Object.fromEntries(Object.keys(GROUPS).map((group) => [group, 0]));
    for (const value of this.values.values()) counts[value.group] += 1;
    return counts;
  }

  kinds() {
    return [...new Set([...this.values.values()].map((value) => value.kind))].sort(byName);
  }
}

function add(map, key, value) {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}

function prepared(value) {
  value.group = groupOf(value.state);
  value.word = wordOf(value.state);
  // What is invalid, or what it waits for.
  value.why = [value.error, ...(value.details ?? [])].filter(Boolean).join('; ');
  value.search = [value.key, value.summary, value.kind, value.state, value.word, value.source, value.why]
    .concat(value.others, value.net?.addresses, value.net?.space?.[1], value.net?.host, value.net?.device?.mac)
    .filter(Boolean).join('\n').toLowerCase();
  return value;
}

/** What the user wants to see. */
export class Filter {
  text = '';
  groups = new Set();
  kind = '';
  parts = false;

  get isEmpty() {
    return !this.text && this.groups.size === 0;
  }

  words() {
    return this.text.toLowerCase().split(/\s+/).filter(Boolean);
  }

  test(value, words = this.words()) {
    if (this.groups.size > 0 && !this.groups.has(value.group)) return false;
    return words.every((word) => value.search.includes(word));
  }
}

"""###),
PageFile(name: "page.css", type: "text/css; charset=utf-8", tag: "\"88cb0d3e663205a9ace1\"", text: ###"""
:root {
  color-scheme: light dark;
  --ground: #f4f6f9; --paper: #fff; --raised: #fff; --ink: #17202b; --soft: #566273; --line: #d3dae3; --frame: #aab6c4;
  --accent: #1f5fd6; --good: #13764a; --wait: #8a5600; --retry: #b3400b; --bad: #c11f2d; --gone: #667282;
  --good-ground: #e7f5ee; --wait-ground: #fff4dc; --retry-ground: #ffeadf; --bad-ground: #fdeaec; --gone-ground: #eef1f4;
  --tunnel: #6b3fc9; --service: #0b7285; --edge: #8493a5; --shadow: 0 1px 2px #0f1b2a1f, 0 4px 14px #0f1b2a14;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0e131a; --paper: #161d26; --raised: #1d2631; --ink: #e7edf4; --soft: #9eacbc; --line: #2c3846; --frame: #4a5a6d;
    --accent: #7db0ff; --good: #4fcb91; --wait: #f2bd55; --retry: #ff9b66; --bad: #ff7d86; --gone: #93a1b1;
    --good-ground: #14291f; --wait-ground: #2d2412; --retry-ground: #331f13; --bad-ground: #35171b; --gone-ground: #202a35;
    --tunnel: #b59bff; --service: #5cc8da; --edge: #66778b; --shadow: 0 1px 2px #0008, 0 4px 14px #0006;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
html, body { height: 100%; }
body {
  margin: 0; display: grid; grid-template: auto auto auto minmax(0, 1fr) auto / minmax(0, 1fr) auto;
  background: var(--ground); color: var(--ink); font: 14px/1.45 system-ui, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif;
}
header, #notes, #filter, footer { grid-column: 1 / -1; }
header { grid-row: 1; }
#notes { grid-row: 2; }
#filter { grid-row: 3; }
main { grid-area: 4 / 1; }
footer { grid-row: 5; }
button, input, select { font: inherit; color: inherit; }
button { cursor: pointer; }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
main:focus, #stage:focus, h2:focus { outline: none; }
small { font-size: 12px; }
bdi { overflow-wrap: anywhere; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.skip { position: absolute; left: 8px; top: -60px; background: var(--raised); padding: 8px 12px; z-index: 9; border-radius: 6px; }
.skip:focus { top: 8px; }
#shapes { position: absolute; width: 0; height: 0; }
.empty { padding: 40px 16px; text-align: center; color: var(--soft); }

/* Signs: a colour, a shape and a word for each group of states. */
.sign { width: 16px; height: 16px; flex: none; vertical-align: -3px; }
.sign.good, .state.good { color: var(--good); }
.sign.wait, .state.wait { color: var(--wait); }
.sign.retry, .state.retry { color: var(--retry); }
.sign.bad, .state.bad, .failed { color: var(--bad); }
.sign.gone, .state.gone { color: var(--gone); }
.fill { fill: currentColor; }
.cut { fill: none; stroke: var(--paper); stroke-width: 2; stroke-linecap: round; }
.ring, .stroke { fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; }
.dash { stroke-dasharray: 3.2 2.2; }
.state { display: inline-flex; align-items: center; gap: 6px; }

header { display: flex; flex-wrap: wrap; align-items: center; gap: 8px 18px; padding: 10px 16px 0; }
h1 { font-size: 18px; margin: 0; overflow-wrap: anywhere; }
h1 small { color: var(--soft); font-weight: 400; margin-left: 4px; }
#live { margin: 0; font-size: 13px; color: var(--soft); display: flex; align-items: center; gap: 7px; }
#live::before { content: ""; width: 9px; height: 9px; border-radius: 50%; background: var(--gone); }
#live[data-is=live]::before { background: var(--good); }
#live[data-is=slow]::before, #live[data-is=asleep]::before { background: var(--wait); border-radius: 2px; }
#live[data-is=lost]::before, #live[data-is=refused]::before { background: var(--bad); clip-path: polygon(50% 0, 100% 100%, 0 100%); border-radius: 0; }
.views { display: flex; gap: 4px; margin-left: auto; background: var(--gone-ground); border-radius: 9px; padding: 3px; }
.views button { border: 0; background: none; padding: 5px 14px; border-radius: 7px; color: var(--soft); }
.views button[aria-selected=true] { background: var(--raised); color: var(--ink); font-weight: 600; box-shadow: var(--shadow); }

#notes { margin: 10px 16px 0; padding: 8px 12px; background: var(--bad-ground); border-radius: 8px; max-height: 22vh; overflow: auto; }
#notes p { margin: 2px 0; display: flex; }

#filter { display: flex; flex-wrap: wrap; gap: 8px; padding: 10px 16px; align-items: center; }
.search { flex: 1 1 220px; max-width: 420px; }
#filter input[type=search], #filter select { width: 100%; padding: 6px 10px; border: 1px solid var(--frame); border-radius: 8px; background: var(--paper); }
#filter select { width: auto; }
#states { display: flex; flex-wrap: wrap; gap: 6px; }
#states button { border: 1px solid var(--line); background: var(--paper); border-radius: 99px; padding: 4px 11px 4px 8px; gap: 6px; }
#states button b { font-variant-numeric: tabular-nums; color: var(--ink); }
#states button[aria-pressed=true] { border-color: currentColor; box-shadow: inset 0 0 0 1px currentColor; background: var(--gone-ground); }
.check { display: flex; gap: 6px; align-items: center; }
body:not([data-view=values]) .only-values, body[data-view=history] #filter { display: none; }

main { min-height: 0; overflow: auto; padding: 0 16px; }
footer { padding: 6px 16px; font-size: 12px; color: var(--soft); }

/* The picture */
#picture { height: 100%; min-height: 300px; display: flex; flex-direction: column; position: relative; }
.tools { display: flex; gap: 6px; align-items: center; margin-bottom: 6px; }
.tools button, #more, .operations > button {
  border: 1px solid var(--line); background: var(--raised); border-radius: 7px; padding: 2px 10px; min-width: 30px; font-size: 13px;
}
#size { color: var(--soft); font-size: 13px; margin-right: auto; }
#stage {
  flex: 1; min-height: 0; overflow: auto; background: var(--paper); border: 1px solid var(--line); border-radius: 12px; display: grid; place-content: safe center;
  background-image: radial-gradient(var(--line) 1px, transparent 1px); background-size: 22px 22px;
}
#paper { position: relative; }
#boxes { position: absolute; left: 0; top: 0; transform-origin: 0 0; }
/* Lines are above boxes and below what is in them, which is why boxes have no layer of their own. */
#lines { position: absolute; left: 0; top: 0; width: 100%; height: 100%; pointer-events: none; overflow: visible; z-index: 1; }
.box { position: absolute; background: var(--ground); border: 1.5px solid var(--frame); border-radius: 12px; box-shadow: var(--shadow); }
.box.outside { border-style: dashed; background: var(--paper); }
.box > * { position: absolute; }
.head {
  z-index: 2; inset: 0 0 auto 0; height: 38px; display: flex; align-items: center; gap: 8px; border: 0; background: none; padding: 0 12px; text-align: left; border-radius: 11px; white-space: nowrap;
}
.folded .head { height: 100%; }
.head .label { flex: 1; min-width: 0; display: flex; gap: 5px; align-items: baseline; font-weight: 600; }
.head .label > * { overflow: hidden; text-overflow: ellipsis; min-width: 0; }
.head .label small { font-weight: 400; color: var(--soft); flex-shrink: 1; }
.head .label bdi { flex: none; max-width: 100%; }
.head[aria-expanded]::before { content: ""; border: 5px solid transparent; border-left-color: var(--soft); margin-right: -5px; }
.head[aria-expanded=true]::before { transform: rotate(90deg) translateX(3px); }
.head .note { display: flex; gap: 7px; }
.tally { display: inline-flex; align-items: center; gap: 3px; font-size: 12px; font-variant-numeric: tabular-nums; }
.tally .sign { width: 13px; height: 13px; }
.folded .head { flex-wrap: wrap; align-content: center; gap: 1px 8px; }
.folded .head .label { flex: 1 1 80%; }
.folded .head .note { padding-left: 13px; }
.nest { border: 1.5px solid var(--frame); border-radius: 10px; background: var(--gone-ground); }
.chip {
  display: grid; grid-template: 1fr 1fr / auto minmax(0, 1fr); column-gap: 8px; align-items: center; text-align: left; padding: 3px 10px 3px 9px;
  background: var(--raised); border: 1.5px solid var(--line); border-left: 4px solid var(--gone); border-radius: 9px; z-index: 2; outline: 3px solid transparent;
}
.chip .sign { grid-row: 1 / 3; }
.chip .name, .chip .note { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; line-height: 1.25; }
.chip .name { font-weight: 600; align-self: end; }
.chip .note { font-size: 11.5px; color: var(--soft); align-self: start; }
.chip.good { border-left-color: var(--good); }
.chip.wait { border-color: var(--wait); border-style: dashed; border-left-style: solid; background: var(--wait-ground); }
.chip.retry { border-color: var(--retry); background: var(--retry-ground); }
.chip.bad { border-color: var(--bad); background: var(--bad-ground); }
.chip.gone { border-style: dashed; border-left-style: solid; background: var(--gone-ground); }
.chip.plain { border-left-color: var(--service); cursor: default; }
.chip.plain .sign { visibility: hidden; width: 0; margin-right: -8px; }
.chip.plain.gone .sign { visibility: visible; width: 16px; margin: 0; }
.chip.owner { background: var(--paper); }
.chip.wanted { box-shadow: 0 0 0 2px var(--accent); }
.chip:hover, .head:hover { border-color: var(--accent); }
.chip.linked, .box.linked { box-shadow: 0 0 0 2px var(--accent); }
.chip:focus-visible, .head:focus-visible { outline-color: var(--accent); outline-offset: 1px; }
.edge { fill: none; stroke: var(--edge); stroke-width: 2; }
.edge.stack { stroke-dasharray: 1 5; stroke-linecap: round; }
.edge.tunnel { stroke: var(--tunnel); stroke-dasharray: 9 5; }
.edge.service { stroke: var(--service); stroke-width: 3; stroke-dasharray: 2 4; }
.edge.broken { stroke: var(--wait); stroke-dasharray: 5 5; }
.lights .edge { opacity: .25; }
.edge.lit { opacity: 1 !important; stroke: var(--accent); stroke-width: 3; }
#lines .label { fill: var(--tunnel); font-size: 11px; paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }
/* From far away colours, frames and folded namespaces are what can be told apart. */
.far .chip .note, .far .tally { visibility: hidden; }
.far .chip .name { font-size: 17px; grid-row: 1 / 3; align-self: center; }
.box.folded.bad, .box.folded.retry { border-color: var(--bad); background: var(--bad-ground); }
.box.folded.wait { border-color: var(--wait); border-style: dashed; background: var(--wait-ground); }
.dense .folded .head { flex-wrap: nowrap; padding: 0 8px; gap: 6px; }
.dense .folded .head .label { flex: 1 1 auto; }
.dense .folded .head .note { padding: 0; }
.dense .folded small, .dense .folded .tally.good { display: none; }
.far .box.folded.bad, .far .box.folded.retry { background: var(--bad); color: var(--paper); }
.far .box.folded.wait { border-width: 4px; }
.far.dense .folded .tally { visibility: visible; font-size: 0; color: inherit; }
.far.dense .folded .tally .sign { width: 20px; height: 20px; color: inherit; }
.far.dense .folded .tally .cut { stroke: var(--bad); }
.far .folded .head, .far .head .label { font-size: 21px; }
.far .head small { display: none; }
.far .folded .head::before { display: none; }
.dense .edge:not(.lit) { stroke: var(--line); stroke-width: 1.5; }

#legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 6px 2px 0; padding: 0; font-size: 12px; color: var(--soft); }
#legend li { display: flex; gap: 7px; align-items: center; }
#legend .line { width: 36px; height: 16px; flex: none; }
#legend .frame { width: 34px; height: 13px; border: 1.5px solid var(--frame); border-radius: 4px; background: var(--gone-ground); flex: none; }

/* The table */
#values table { width: 100%; table-layout: fixed; border-collapse: separate; border-spacing: 0; background: var(--paper); border: 1px solid var(--line); border-radius: 10px; }
#count { margin: 0 0 6px; color: var(--soft); font-size: 13px; }
thead .state { width: 112px; display: table-cell; }
thead .value { width: 30%; }
thead .source { width: 21%; }
thead .kind { width: 112px; }
thead .since { width: 118px; }
thead th { display: table-cell; position: sticky; top: 0; background: var(--gone-ground); text-align: left; z-index: 1; padding: 0; }
thead th:first-child { border-top-left-radius: 10px; }
thead button { border: 0; background: none; padding: 7px 10px; width: 100%; text-align: left; font-weight: 600; white-space: nowrap; }
th[aria-sort=ascending] button::after { content: " ▲"; font-size: 10px; }
th[aria-sort=descending] button::after { content: " ▼"; font-size: 10px; }
tbody td, tbody th { padding: 6px 10px; border-top: 1px solid var(--line); vertical-align: top; text-align: left; font-weight: 400; }
tbody tr { cursor: pointer; }
tbody tr:hover { background: var(--gone-ground); }
tbody tr.bad { background: var(--bad-ground); }
tbody button, .link { border: 0; background: none; padding: 0; text-align: left; font-weight: 600; border-radius: 3px; }
.link { color: var(--accent); font-weight: 400; }
td.state { white-space: nowrap; display: table-cell; }
td.since { font-variant-numeric: tabular-nums; }
td.source, td.why, td.kind, td.since { font-size: 13px; overflow-wrap: anywhere; }
.key { display: block; font: 11.5px/1.35 ui-monospace, "DejaVu Sans Mono", monospace; color: var(--soft); }
.changed { animation: changed 1.5s; }
@keyframes changed { from { background: var(--wait-ground); } }
#more { margin: 10px 0; }

/* The history */
#strip { position: relative; height: 56px; margin: 2px 0 26px; border-bottom: 2px solid var(--frame); }
#strip i { position: absolute; bottom: 0; width: 6px; margin-left: -3px; border-radius: 3px 3px 0 0; background: var(--good); cursor: pointer; }
#strip i.bad { background: repeating-linear-gradient(45deg, var(--bad) 0 3px, transparent 3px 5px); outline: 1px solid var(--bad); }
#strip span { position: absolute; top: 100%; font-size: 12px; color: var(--soft); padding-top: 3px; }
#strip .to { right: 0; }
#transactions { list-style: none; margin: 0; padding: 0 0 10px 9px; }
#transactions > li { border-left: 2px solid var(--frame); padding: 0 0 8px 18px; position: relative; }
#transactions > li::before { content: ""; position: absolute; left: -7px; top: 13px; width: 12px; height: 12px; border-radius: 50%; background: var(--good); border: 2px solid var(--ground); }
#transactions > li.bad::before { background: var(--bad); border-radius: 2px; transform: rotate(45deg); }
#transactions > li > details { background: var(--paper); border: 1px solid var(--line); border-radius: 9px; }
#transactions summary { display: flex; flex-wrap: wrap; gap: 2px 14px; align-items: center; padding: 7px 12px; cursor: pointer; }
#transactions summary::before { content: ""; border: 5px solid transparent; border-left-color: var(--soft); margin-right: -10px; }
#transactions details[open] > summary::before { transform: rotate(90deg) translateX(3px); }
.number { color: var(--soft); min-width: 3.2em; font-variant-numeric: tabular-nums; }
#transactions time, .took { font-variant-numeric: tabular-nums; }
.reason { font-weight: 600; }
.took, .ago { color: var(--soft); }
.ago { margin-left: auto; }
.operations { padding: 0 12px 8px; color: var(--soft); }
.operations ol { margin: 0; padding: 0; list-style: none; color: var(--ink); }
.operations li { display: grid; grid-template-columns: 20px minmax(0, 1fr) auto; gap: 0 8px; padding: 4px 0; border-top: 1px solid var(--line); align-items: baseline; }
.operations li p { grid-column: 2 / -1; margin: 0; }
.verb { font-weight: 700; text-align: center; }
.verb.create { color: var(--good); } .verb.update { color: var(--wait); } .verb.delete { color: var(--bad); }

/* Details */
#details { grid-column: 2; grid-row: 4; width: min(380px, 40vw); overflow: auto; background: var(--paper); border: 1px solid var(--line); border-radius: 12px; margin-right: 16px; padding: 4px 18px 18px; position: relative; }
#details h2 { font-size: 17px; margin: 12px 32px 4px 0; }
#details h3 { font-size: 13px; margin: 16px 0 4px; color: var(--soft); }
#details p { margin: 4px 0; }
#details ul { margin: 0; padding-left: 18px; }
#details ul.values { list-style: none; padding: 0; }
#details .values li { display: grid; grid-template-columns: auto minmax(0, 1fr); padding: 3px 0; gap: 0 8px; }
#details .values li small { grid-column: 2; color: var(--soft); }
#details .error { background: var(--bad-ground); border-left: 4px solid var(--bad); border-radius: 6px; padding: 8px 10px; margin: 8px 0; }
.shut { position: absolute; right: 10px; top: 10px; border: 0; background: none; font-size: 22px; line-height: 1; padding: 2px 8px; border-radius: 6px; }
dl { display: grid; grid-template-columns: auto minmax(0, 1fr); gap: 3px 14px; margin: 14px 0 0; }
dt { color: var(--soft); }
dd { margin: 0; }
dd.code { font: 12px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }

@media (max-width: 700px) {
  body { display: block; height: auto; }
  main { overflow: visible; padding: 0 8px; }
  header, #filter { padding-left: 10px; padding-right: 10px; }
  .views { margin: 0; width: 100%; }
  .views button { flex: 1; }
  .search { flex-basis: 100%; max-width: none; }
  #picture { height: auto; display: block; }
  .tools { flex-wrap: wrap; }
  .tools #smaller, .tools #larger, .tools #fit { display: none; }
  #stage { display: block; overflow: hidden; min-height: 120px; }
  #values table, #values tbody, #values tr, #values td, #values tbody th { display: block; }
  #values thead { display: none; }
  #values tr { border-top: 1px solid var(--line); padding: 6px 10px; }
  #values tr:first-child { border-top: 0; }
  #values td, #values tbody th { border: 0; padding: 1px 0; max-width: none; white-space: normal; }
  #values td:empty { display: none; }
  td.kind::before, td.source::before, td.why::before, td.since::before { content: attr(data-label) ": "; color: var(--soft); font-size: 12px; }
  .ago { margin-left: 0; }
  .operations li { grid-template-columns: 20px minmax(0, 1fr); }
  .operations li .state { grid-column: 2; }
  #details { position: fixed; inset: auto 0 0 0; width: auto; max-height: 75vh; margin: 0; border-radius: 16px 16px 0 0; z-index: 5; box-shadow: 0 -6px 30px #0005; }
}
@media (prefers-reduced-motion: reduce) { * { animation: none !important; transition: none !important; } }
@media (forced-colors: active) { .chip, .box, .nest { border-color: CanvasText; } .edge { stroke: CanvasText; } }

"""###),
PageFile(name: "page.html", type: "text/html; charset=utf-8", tag: "\"d452579ba6f63c3ed4bc\"", text: ###"""
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>nsm-agent</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/ui/files/page.css">
<script type="module" src="/ui/files/main.js"></script>
</head>
<body>
<svg id="shapes" aria-hidden="true" focusable="false">
  <symbol id="s-good" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" class="fill"/><path d="M4.6 8.3l2.3 2.3 4.5-4.9" class="cut"/></symbol>
  <symbol id="s-wait" viewBox="0 0 16 16"><circle cx="8" cy="8" r="6.2" class="ring dash"/><path d="M8 4.6V8l2.4 1.6" class="stroke"/></symbol>
  <symbol id="s-retry" viewBox="0 0 16 16"><path d="M8 1.2L15.4 14.2H.6z" class="fill"/><path d="M8 6v3.6M8 11.4v.9" class="cut"/></symbol>
  <symbol id="s-bad" viewBox="0 0 16 16"><path d="M5 1h6l4 4v6l-4 4H5l-4-4V5z" class="fill"/><path d="M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2" class="cut"/></symbol>
  <symbol id="s-gone" viewBox="0 0 16 16"><circle cx="8" cy="8" r="6.2" class="ring"/><path d="M4.8 8h6.4" class="stroke"/></symbol>
</svg>
<a class="skip" href="#content">Skip to the content</a>
<header>
  <h1><span id="title">nsm-agent</span> <small id="version"></small></h1>
  <p id="live" role="status" data-is="begin">Connecting…</p>
  <div class="views" role="tablist" aria-label="Views">
    <button role="tab" id="tab-picture" aria-controls="picture" aria-selected="true">Picture</button>
    <button role="tab" id="tab-values" aria-controls="values" aria-selected="false" tabindex="-1">Values</button>
    <button role="tab" id="tab-history" aria-controls="history" aria-selected="false" tabindex="-1">History</button>
  </div>
</header>
<div id="notes" role="region" aria-label="Mistakes and warnings" hidden></div>
<form id="filter" role="search" aria-label="Filter">
  <label class="search"><span class="unseen">Filter by name, address, error or source</span>
    <input id="text" type="search" placeholder="Filter  ( / )" autocomplete="off" spellcheck="false" maxlength="200"></label>
  <div id="states" role="group" aria-label="States"></div>
  <label class="only-values"><span class="unseen">Kind</span> <select id="kind"><option value="">All kinds</option></select></label>
  <label class="only-values check"><input id="parts" type="checkbox"> with parts</label>
</form>
<main id="content" tabindex="-1">
  <section id="picture" role="tabpanel" aria-labelledby="tab-picture">
    <div class="tools" role="group" aria-label="Picture">
      <span id="size" role="status"></span>
      <button type="button" id="smaller" aria-label="Smaller">−</button>
      <button type="button" id="fit">Fit</button>
      <button type="button" id="larger" aria-label="Larger">+</button>
      <button type="button" id="fold">Fold all</button>
      <button type="button" id="unfold">Unfold all</button>
    </div>
    <div id="stage" tabindex="-1"><div id="paper">
      <div id="boxes" role="group" aria-label="Interfaces by namespace. Arrow keys move, Enter opens, plus and minus zoom."><svg id="lines" aria-hidden="true" focusable="false"></svg></div>
    </div></div>
    <p class="empty" id="nothing" hidden></p>
    <ul id="legend" aria-label="Legend">
      <li><svg class="line"><path class="edge" d="M2 8H34"/></svg> veth pair</li>
      <li><svg class="line"><path class="edge stack" d="M2 8H34"/></svg> on top of</li>
      <li><svg class="line"><path class="edge tunnel" d="M2 8H34"/></svg> tunnel</li>
      <li><svg class="line"><path class="edge service" d="M2 8H34"/></svg> network service</li>
      <li><svg class="line"><path class="edge broken" d="M2 8H34"/></svg> an end is not in place</li>
      <li><span class="frame"></span> bridge, bond or VRF, with what is in it</li>
    </ul>
  </section>
  <section id="values" role="tabpanel" aria-labelledby="tab-values" hidden>
    <p id="count" role="status"></p>
    <table>
      <caption class="unseen">Values and where they stand. Up and down move, Enter opens.</caption>
      <thead><tr id="columns"></tr></thead>
      <tbody id="rows"></tbody>
    </table>
    <button type="button" id="more" hidden>Show more</button>
  </section>
  <section id="history" role="tabpanel" aria-labelledby="tab-history" hidden>
    <div id="strip" aria-hidden="true"></div>
    <ol id="transactions"></ol>
    <p class="empty" id="no-history" hidden>Nothing was done since the agent started.</p>
  </section>
</main>
<aside id="details" aria-labelledby="details-name" hidden></aside>
<noscript><p class="empty">This page needs JavaScript. <a href="/?paths">All paths</a> work without it.</p></noscript>
<footer><a href="/?paths">All paths</a> · <a href="/configuration">Configuration</a> · <a href="/metrics">Metrics</a></footer>
</body>
</html>

"""###),
PageFile(name: "picture.js", type: "text/javascript; charset=utf-8", tag: "\"dcfdaca10392f8d7c435\"", text: ###"""
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

"""###),
PageFile(name: "route.js", type: "text/javascript; charset=utf-8", tag: "\"4020ddbdc0ad05a7fa27\"", text: ###"""
// The way of a line from one end to the other. Ends are { box, x, y, w, h }.

const GUTTER = 11;

/** A line between boxes of layers, or inside of one. */
export function pathOf(a, b, grids) {
  if (a.box === b.box) return within(a, b);
  if (a.box.layer === b.box.layer) return a.box.column === b.box.column ? loop(a, b, 34) : across(a, b, grids);
  return a.box.layer < b.box.layer ? across(a, b, grids) : across(b, a, grids);
}

/** A line at the right side of a narrow screen, so far from the boxes. */
export const loopOf = (a, b, out) => loop(a, b, out, true);

function within(a, b) {
  if (a.x + a.w <= b.x || b.x + b.w <= a.x) {
    const [left, right] = a.x < b.x ? [a, b] : [b, a];
    return curve({ x: left.x + left.w, y: middle(left) }, { x: right.x, y: middle(right) });
  }
  return loop(a, b, 16);
}

/** From the right side of one to the right side of the other. */
function loop(a, b, out, reachesEdge = false) {
  const [x1, y1, x2, y2] = [a.x + a.w, middle(a), b.x + b.w, middle(b)];
  const edge = reachesEdge ? Math.max(a.box.x + a.box.w, b.box.x + b.box.w) : Math.max(x1, x2);
  const x = edge + out;
  const r = Math.min(8, Math.abs(y2 - y1) / 2);
  const down = y2 > y1 ? 1 : -1;
  const d = `M${x1} ${y1}H${x - r}Q${x} ${y1} ${x} ${y1 + down * r}V${y2 - down * r}Q${x} ${y2} ${x - r} ${y2}H${x2}`;
  return { d, at: { x: x - 4, y: (y1 + y2) / 2, anchor: 'end' } };
}

/** From the right side of a box to the left side of one further to the right, between the boxes of both grids. */
function across(a, b, grids) {
  if (a.box.layer === b.box.layer && a.box.column > b.box.column) return across(b, a, grids);
  const start = { x: a.x + a.w, y: middle(a) };
  const end = { x: b.x, y: middle(b) };
  const points = [start];
  const [from, to] = [grids.get(a.box.layer), grids.get(b.box.layer)];
  const isSame = from === to;
  if (from && !isSame && a.box.column < from.columns - 1) {
    points.push({ x: from.lefts[a.box.column + 1] - GUTTER / 2, y: channel(from, a.box) });
    points.push({ x: from.x + from.w + 4, y: channel(from, a.box) });
  }
  if (to && b.box.column > (isSame ? a.box.column + 1 : 0)) {
    const begin = isSame ? to.lefts[a.box.column + 1] - GUTTER / 2 : to.x - GUTTER;
    points.push({ x: begin, y: channel(to, b.box) });
    points.push({ x: to.lefts[b.box.column] - GUTTER * 1.8, y: channel(to, b.box) });
  }
  points.push(end);
  return through(points);
}

/** The way above the row of a box. */
const channel = (grid, box) => grid.tops[box.row] - GUTTER;

const middle = (end) => end.y + end.h / 2;

/** Curves where a line changes its height, straight where it keeps it. */
function through(points) {
  let d = `M${points[0].x} ${points[0].y}`;
  let at = points[0];
  for (let index = 1; index < points.length; index += 1) {
    const [p, q] = [points[index - 1], points[index]];
    if (p.y === q.y) {
      d += `H${q.x}`;
    } else {
      const bend = Math.max((q.x - p.x) / 2, 10);
      d += `C${p.x + bend} ${p.y} ${q.x - bend} ${q.y} ${q.x} ${q.y}`;
    }
    if (index === 1) at = { x: p.x + 6, y: p.y, anchor: 'start' };
  }
  return { d, at };
}

const curve = (p, q) => through([p, q]);

"""###),
PageFile(name: "scene.js", type: "text/javascript; charset=utf-8", tag: "\"6260707ad5051489b12d\"", text: ###"""
// What is in the picture: namespaces, what is in them, and what connects them. It knows no places; layout.js finds them.

import { byName, clean } from './text.js';
import { worst } from './model.js';

const SPACE_WORDS = { name: 'namespace', process: 'process', file: 'namespace of', microservice: 'container', unknown: 'namespace' };

/** The scene of all values that `isWanted` lets through, with their neighbours. */
export function sceneOf(store, isWanted) {
  const builder = new Builder(store);
  builder.addValues();
  builder.nest();
  builder.connect();
  if (isWanted) builder.keep(isWanted);
  return builder.finished();
}

class Builder {
  constructor(store) {
    this.store = store;
    this.nodes = new Map();
    this.spaces = new Map();
    this.edges = new Map();
    /** Nodes of interfaces by their logical names. */
    this.byName = new Map();
  }

  // What there is

  addValues() {
    const later = [];
    for (const value of this.store.values.values()) {
      if (value.net?.is === 'interface') this.addInterface(value);
      else if (value.net?.is === 'namespace') this.space(['name', value.net.name]).value = value;
      else if (value.net) later.push(value);
    }
    for (const value of later) this.addService(value);
  }

  addInterface(value) {
    const net = value.net;
    const node = this.node(`i:${net.name}`, this.space(net.space), net.name, value);
    const device = net.device;
    const down = !net.up ? 'set down' : device && !device.running ? 'no link' : '';
    const number = net.id === undefined ? '' : { vlan: `id ${net.id}`, vrf: `table ${net.id}` }[net.type] ?? `${net.id}`;
    const address = net.addresses?.[0] ?? '';
    const more = net.addresses?.length > 1 ? `+${net.addresses.length - 1}` : '';
    node.note = [net.type, number, address && `${address}${more && ` ${more}`}`, device || value.group !== 'good' ? down : '']
      .filter(Boolean).join(' · ');
    this.byName.set(net.name, node);
  }

  addService(value) {
    const net = value.net;
    const isClient = net.is === 'client';
    const made = isClient ? this.byName.get(net.interface) : undefined;
    const name = isClient ? net.name : net.service;
    const node = this.node(`${isClient ? 'c' : 'e'}:${value.key}`, made?.space ?? this.space(), name, value);
    node.note = isClient ? `client of ${net.service}` : 'endpoint';
    const service = this.node(`s:${net.service}`, this.place('services', 'Network services', ''), net.service);
    service.note = 'service';
    this.edge('service', node, service);
    if (made) made.wants = node;
    if (net.prefix) {
      for (const [other, node2] of this.byName) if (other.startsWith(net.prefix)) node2.wants ??= node;
    }
  }

  space(reference) {
    if (!reference) return this.place('own', 'Own namespace', '');
    const [type, name] = reference;
    return this.place(`n:${type}:${name}`, name, SPACE_WORDS[type] ?? type);
  }

  place(id, label, note) {
    let space = this.spaces.get(id);
    if (!space) {
      space = { id, label: clean(label), note, nodes: [], roots: [], group: 'good', value: null };
      this.spaces.set(id, space);
    }
    return space;
  }

  node(id, space, name, value = null) {
    let node = this.nodes.get(id);
    if (!node) {
      node = { id, space, name: clean(name), value, note: '', children: [], parent: null, edges: [], group: 'good' };
      node.group = value ? this.store.groupWithParts(value) : 'good';
      this.nodes.set(id, node);
      space.nodes.push(node);
    }
    return node;
  }

  // What is in what

  nest() {
    const interfaces = [...this.byName.values()];
    for (const node of interfaces) {
      for (const port of node.value.net.ports ?? []) {
        const found = this.byName.get(port) ?? this.ghost(node.space, port);
        if (found.space === node.space) this.put(found, node);
      }
    }
    for (const node of interfaces) {
      const { vrf, parent } = node.value.net;
      for (const name of [vrf, parent]) {
        const found = name && this.byName.get(name);
        if (found && found.space === node.space && !node.parent) this.put(node, found);
      }
      if (node.wants && !node.parent && node.wants.space === node.space) this.put(node, node.wants);
    }
  }

  /** A port that nobody declares. */
  ghost(space, name) {
    const node = this.node(`g:${space.id}:${name}`, space, name);
    node.note = 'not declared';
    node.group = 'gone';
    return node;
  }

  put(node, parent) {
    if (node.parent || node === parent) return;
    // Wrong configurations may go round in circles.
    for (let above = parent; above; above = above.parent) if (above === node) return;
    node.parent = parent;
    parent.children.push(node);
  }

  // What connects

  connect() {
    for (const node of this.byName.values()) {
      const net = node.value.net;
      const peer = net.peer && this.byName.get(net.peer);
      if (peer && peer !== node) this.edge('veth', node, peer);
      const below = net.parent && this.byName.get(net.parent);
      if (below && node.parent !== below) this.edge('stack', node, below);
      if (net.remote) {
        const far = this.node(`r:${net.remote}`, this.place('remote', 'Beyond this host', ''), net.remote);
        far.note = 'remote end';
        this.edge('tunnel', node, far, net.id === undefined ? net.type : `${net.type} ${net.id}`);
      }
    }
  }

  edge(kind, a, b, label = '') {
    const [from, to] = kind === 'veth' && b.id < a.id ? [b, a] : [a, b];
    const id = `${kind} ${from.id} ${to.id}`;
    if (this.edges.has(id)) return;
    const edge = { id, kind, from, to, label, isBroken: from.group !== 'good' || to.group !== 'good' };
    this.edges.set(id, edge);
    from.edges.push(edge);
    to.edges.push(edge);
  }

  // What is wanted of it

  /** Leaves out what is not wanted and no neighbour of what is. */
  keep(isWanted) {
    const wanted = [...this.nodes.values()].filter((node) => node.value && this.isWanted(node.value, isWanted));
    const kept = new Set();
    for (const node of wanted) {
      node.isWanted = true;
      kept.add(node);
      for (const edge of node.edges) kept.add(edge.from).add(edge.to);
      for (const child of node.children) if (node.children.length <= 12) kept.add(child);
    }
    for (const node of [...kept]) for (let above = node.parent; above; above = above.parent) kept.add(above);
    for (const [id, node] of this.nodes) if (!kept.has(node)) this.nodes.delete(id);
    for (const node of kept) node.children = node.children.filter((child) => kept.has(child));
    for (const [id, edge] of this.edges) if (!kept.has(edge.from) || !kept.has(edge.to)) this.edges.delete(id);
    for (const [id, space] of this.spaces) {
      space.nodes = space.nodes.filter((node) => kept.has(node));
      const isNamed = space.value && isWanted(space.value);
      if (space.nodes.length === 0 && !isNamed) this.spaces.delete(id);
    }
  }

  /** A node is wanted for what is derived from its value as well. */
  isWanted(value, isWanted) {
    return isWanted(value) || this.store.partsOf(value.key).some(isWanted);
  }

  finished() {
    for (const node of this.nodes.values()) node.children.sort((a, b) => byName(a.name, b.name));
    for (const space of this.spaces.values()) {
      space.nodes.sort((a, b) => byName(a.name, b.name));
      space.roots = space.nodes.filter((node) => !node.parent);
      const groups = space.nodes.map((node) => node.group);
      space.group = worst(space.value ? [...groups, space.value.group] : groups);
    }
    const spaces = [...this.spaces.values()].sort((a, b) => byName(a.label, b.label) || byName(a.id, b.id));
    return { spaces, edges: [...this.edges.values()], nodes: this.nodes };
  }
}

"""###),
PageFile(name: "table.js", type: "text/javascript; charset=utf-8", tag: "\"0612dd0427660e37487d\"", text: ###"""
// Values in a table.

import { rankOf } from './model.js';
import { bdi, byName, clean, clock, count, make, put, sign, span } from './text.js';

/** Rows that are made at once. More come when they are wanted, as a browser takes long for many. */
const PAGE = 200;

const COLUMNS = [
  ['state', 'State', (value) => rankOf(value.group)],
  ['value', 'Value', (value) => value.summary ?? value.key],
  ['kind', 'Kind', (value) => value.kind],
  ['source', 'Source', (value) => value.source ?? ''],
  ['why', 'Error, or waiting for', (value) => value.why],
  ['since', 'Since', (value) => -value.since],
];

export class Table {
  constructor(store, open) {
    this.store = store;
    this.open = open;
    for (const id of ['columns', 'rows', 'count', 'more']) this[id] = document.getElementById(id);
    this.sort = { column: 'state', isDown: false };
    this.limit = PAGE;
    this.rowsByKey = new Map();
    this.head();
    this.more.addEventListener('click', () => this.grow());
    new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && this.grow(), { rootMargin: '400px' })
      .observe(this.more);
    this.rows.addEventListener('click', (event) => {
      const row = event.target.closest('tr');
      if (row && !getSelection().toString()) this.open(row.dataset.key);
    });
    this.rows.addEventListener('keydown', (event) => this.key(event));
    this.rows.addEventListener('focusin', (event) => this.mark(event.target.closest('tr')));
  }

  head() {
    for (const [id, text] of COLUMNS) {
      const button = make('button', { type: 'button', textContent: text });
      button.addEventListener('click', () => {
        this.sort = { column: id, isDown: this.sort.column === id && !this.sort.isDown };
        this.update(this.filter);
      });
      this.columns.append(make('th', { scope: 'col', className: id }, button));
    }
  }

  grow() {
    if (this.more.hidden) return;
    this.limit += PAGE;
    this.update(this.filter);
  }

  update(filter) {
    if (this.last !== JSON.stringify([filter.text, [...filter.groups], filter.kind, filter.parts])) {
      this.last = JSON.stringify([filter.text, [...filter.groups], filter.kind, filter.parts]);
      this.limit = PAGE;
    }
    this.filter = filter;
    COLUMNS.forEach(([id], index) => {
      const isSorted = this.sort.column === id;
      this.columns.children[index].setAttribute('aria-sort', !isSorted ? 'none' : this.sort.isDown ? 'descending' : 'ascending');
    });
    const found = this.sorted(filter);
    const shown = found.slice(0, this.limit);
    this.render(shown);
    this.more.hidden = shown.length === found.length;
    const omitted = this.store.agent.omitted ? `; ${count(this.store.agent.omitted, 'value')} more than the page shows` : '';
    put(this.count, `${count(found.length, 'value')}${filter.isEmpty && !filter.kind ? '' : ' fit the filter'}${omitted}`);
  }

  sorted(filter) {
    const words = filter.words();
    const found = [...this.store.values.values()].filter((value) =>
      (filter.parts || !value.base || (filter.groups.size > 0 && value.group !== 'good')) && (!filter.kind || value.kind === filter.kind) && filter.test(value, words));
    const by = COLUMNS.find(([id]) => id === this.sort.column)[2];
    const sign = this.sort.isDown ? -1 : 1;
    const keyed = found.map((value) => [by(value), value]);
    keyed.sort(([a, one], [b, two]) =>
      sign * (typeof a === 'number' ? a - b : emptyLast(a, b) || byName(a, b)) || byName(one.key, two.key));
    return keyed.map(([, value]) => value);
  }

  render(values) {
    const keys = new Set(values.map((value) => value.key));
    const focused = document.activeElement?.closest?.('#rows tr')?.dataset.key;
    for (const [key, row] of this.rowsByKey) {
      if (keys.has(key)) continue;
      row.remove();
      this.rowsByKey.delete(key);
    }
    let next = this.rows.firstChild;
    for (const value of values) {
      const row = this.row(value);
      if (row === next) next = next.nextSibling;
      else this.rows.insertBefore(row, next);
    }
    if (focused && document.activeElement?.closest?.('#rows tr')?.dataset.key !== focused) this.rowsByKey.get(focused)?.querySelector('button')?.focus();
    if (!this.rows.querySelector('button[tabindex="0"]')) this.mark(this.rows.firstChild);
    this.tick();
  }

  row(value) {
    let row = this.rowsByKey.get(value.key);
    if (!row) {
      row = make('tr');
      row.dataset.key = value.key;
      this.rowsByKey.set(value.key, row);
    }
    if (row.value === value) return row;
    const isChanged = row.value && row.value.state !== value.state;
    row.value = value;
    row.className = `${value.group} ${isChanged ? 'changed' : ''}`;
    const button = row.querySelector('button') ?? make('button', { type: 'button', tabIndex: -1 });
    button.replaceChildren(bdi(value.summary ?? value.key));
    const cell = (id, label, ...content) => make('td', { className: id, 'data-label': label }, ...content);
    row.replaceChildren(
      cell('state', 'State', make('span', { className: `state ${value.group}`, title: value.state }, sign(value.group), value.word)),
      make('th', { scope: 'row', className: 'value' }, button, bdi(value.key, 'key')),
      cell('kind', 'Kind', clean(value.kind)),
      cell('source', 'Source', value.source ? bdi(value.source) : '', value.others ? make('small', { textContent: ` and ${count(value.others.length, 'other')}` }) : ''),
      cell('why', value.error ? 'Error' : 'Waiting for', value.why ? bdi(value.why) : ''),
      cell('since', 'Since', make('time', { title: clock(value.since) })));
    return row;
  }

  /** How long ago things were. */
  tick() {
    for (const row of this.rowsByKey.values()) {
      const { since, retry } = row.value;
      const next = retry > Date.now() ? `, next try in ${span((retry - Date.now()) / 1000)}` : '';
      put(row.lastChild.firstChild, span((Date.now() - since) / 1000) + next);
    }
  }

  mark(row) {
    const button = row?.querySelector('button');
    if (!button) return;
    for (const other of this.rows.querySelectorAll('button[tabindex="0"]')) other.tabIndex = -1;
    button.tabIndex = 0;
  }

  key(event) {
    const row = event.target.closest('tr');
    const to = {
      ArrowDown: row?.nextSibling, ArrowUp: row?.previousSibling, Home: this.rows.firstChild, End: this.rows.lastChild,
    }[event.key];
    if (!to) return;
    event.preventDefault();
    to.querySelector('button').focus();
  }
}

const emptyLast = (a, b) => (a === '') - (b === '');

"""###),
PageFile(name: "text.js", type: "text/javascript; charset=utf-8", tag: "\"29e2731883f8c0017e1d\"", text: ###"""
// Texts and elements. Whatever comes from outside becomes a text node, never markup.

/** Makes an element: properties by name, data- and aria- attributes as they are, then what is in it. */
export function make(name, properties = {}, ...content) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (key.includes('-') || key === 'role' || key === 'for') element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...content.filter((part) => part !== null && part !== undefined && part !== ''));
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';

/** Makes an element of a drawing. */
export function draw(name, attributes = {}) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** The sign of a group of states. Its name stands beside it or in a label. */
export function sign(group) {
  const svg = draw('svg', { class: `sign ${group}`, 'aria-hidden': 'true', viewBox: '0 0 16 16' });
  svg.append(draw('use', { href: `#s-${group}` }));
  return svg;
}

// Controls, and what turns the direction of writing or can't be seen: names may hold them to look like others.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** A text as it is safe to look at: what can't be seen is shown by its number. */
export function clean(text) {
  return String(text).replace(UNSEEN, (c) => `⟨${c.codePointAt(0).toString(16).padStart(4, '0')}⟩`);
}

/** A text of its own direction that does not touch its neighbours. */
export function bdi(text, className) {
  return make('bdi', { className, textContent: clean(text) });
}

/** Replaces the text only where it is another one, so that nothing is drawn anew for nothing. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const COLLATOR = new Intl.Collator('en', { numeric: true });

/** The order of names: eth2 comes before eth10. */
export function byName(a, b) {
  return COLLATOR.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);
}

/** A number of things in words. */
export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString('en')} ${number === 1 ? one : many}`;
}

/** How long ago or how long something is, in seconds. */
export function span(seconds) {
  const s = Math.max(0, seconds);
  if (s < 1e-3) return `${Math.round(s * 1e6)} µs`;
  if (s < 1) return `${Math.round(s * 1e3)} ms`;
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 129600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

/** The time of the day, with the date when it is another day. */
export function clock(milliseconds) {
  const time = new Date(milliseconds);
  const day = time.toDateString() === new Date().toDateString() ? '' : `${time.toLocaleDateString('en-CA')} `;
  return day + time.toLocaleTimeString('en-GB');
}

"""###),
    ]
}
