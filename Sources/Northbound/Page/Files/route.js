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
