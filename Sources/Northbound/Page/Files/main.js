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
