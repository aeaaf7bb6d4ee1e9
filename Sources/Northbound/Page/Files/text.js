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
