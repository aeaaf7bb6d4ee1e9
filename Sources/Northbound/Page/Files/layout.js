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
