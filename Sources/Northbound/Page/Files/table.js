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
